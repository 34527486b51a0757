#!/usr/bin/env bash
# The real Prometheus scrapes the ops listener; promtool finds nothing to say about the metrics.
source "$(dirname "$0")/common.bash"
debian prometheus
start_service
fetch_token >/dev/null
curl -sS --fail "$ops/metrics" | promtool check metrics
port=$(free_port)
cat > "$work/prometheus.yml" <<YAML
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: wsts
    static_configs: [{ targets: ['${ops#http://}'] }]
YAML
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
  --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
programs+=($!)
for _ in $(seq 150); do
  issued=$(curl -sS "http://127.0.0.1:$port/api/v1/query" --data-urlencode \
    'query=sum(sts_tokens_issued_total{region="local",workspace_region="local",compute_region="local"})' 2>/dev/null |
    python3 -c 'import json, sys; r = json.load(sys.stdin)["data"]["result"]; print(r[0]["value"][1] if r else 0)' 2>/dev/null) || issued=0
  [ "${issued:-0}" -ge 3 ] && break
  sleep 0.1
done
echo "Prometheus counted $issued tokens"
[ "$issued" -ge 3 ]
