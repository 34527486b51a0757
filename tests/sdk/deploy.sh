#!/usr/bin/env bash
# The files of deploy/, as far as they can be tried without a container engine. First each is read by the program that
# it is for. Then what docker-compose.yml would start is started on loopback addresses: PostgreSQL, the owner's
# `wsts apply`, three replicas, Envoy before a model, Prometheus with the rules; and tokens are shown to Envoy.
source "$(dirname "$0")/common.bash"
here=$root/tests/sdk/deploy
deploy=$root/deploy
debian openssl postgresql postgresql-client prometheus
environment=$(python_environment deploy "$here/requirements.txt")
python=$environment/bin/python

parse() {
  promtool check config "$deploy/prometheus/prometheus.yml"
  promtool test rules "$deploy/prometheus/rules_test.yml"
  "$environment/bin/hadolint" "$deploy/Dockerfile"
  "$environment/bin/docker-compose" --file "$deploy/docker-compose.yml" config --format json >"$work/compose.json"
  # The compiler's own list of what it read. Cargo's two files are not on it, and no build begins without them.
  local file allowed
  for file in $(sed 's/^[^:]*://' "$wsts.d"); do
    for allowed in $(sed -n 's/^!//p' "$deploy/Dockerfile.dockerignore"); do
      case "$file" in "$root/$allowed" | "$root/$allowed"/*) continue 2 ;; esac
    done
    echo "deploy/Dockerfile.dockerignore keeps $file out of the image's build"; return 1
  done
}

# What each container is given, and where it is here: on an address of its own, so that ports are as in the files.
declare -A secrets_of=() variables_of=() address=()
replicas=()
database_port=$(free_port)

read_compose() {
  local name secrets variables network
  network=127.$((RANDOM % 200 + 20)).$((RANDOM % 200 + 20))
  while read -r name secrets variables; do
    secrets_of[$name]=${secrets/#-/} variables_of[$name]=$variables address[$name]=$network.$((${#address[@]} + 1))
    if [[ $name = wsts-* ]]; then replicas+=("$name"); fi
  done <<<"$("$python" "$here/compose.py" "$work/compose.json" containers)"
}

# A file of deploy/ for one container: secrets, volume and names as they are here. The new file's path is the second
# argument, the container's folder is the third.
localize() {
  local name script
  script="s|/run/secrets/|$3/secrets/|g; s|/var/lib/wsts/|$3/volume/|g; s|@postgres:5432/|@localhost:$database_port/|"
  script+="; s|\b0\.0\.0\.0\b|${address[${3##*/}]:-}|g"
  for name in "${!address[@]}"; do
    script+="; s|address: $name,|address: ${address[$name]},|; s|\"$name:9464\"|\"${address[$name]}:9464\"|"
  done
  sed "$script" "$1" >"$2"
  if grep -nE '(address: |")[a-z][a-z0-9-]*(, port_value|:9464)' "$2"; then
    echo "$1 names what is no container"; return 1
  fi
}

# Makes the folder of a container, with the secrets that Compose would mount in it.
container() {
  local folder=$work/$1 secret
  mkdir "$folder" "$folder/secrets" "$folder/volume"
  for secret in ${secrets_of[$1]//,/ }; do localize "$work/secrets/$secret" "$folder/secrets/$secret" "$folder"; done
}

# Ends in wsts as in a container, with the arguments after the container's name.
wsts_of() {
  local folder=$work/$1 variables
  read -ra variables <<<"${variables_of[$1]}"
  # Nothing waits for a load balancer to turn elsewhere.
  exec env --ignore-environment "${variables[@]//\/run\/secrets\//$folder/secrets/}" WSTS_CONFIG="$folder/wsts.toml" \
    WSTS_SERVER__UNREADY_SECONDS=0 "$wsts" "${@:2}"
}

# Waits until a command succeeds; when it does not, shows a log and fails.
wait_for() {
  local log=$1
  for _ in $(seq 200); do "${@:2}" >/dev/null 2>&1 && return; sleep 0.1; done
  echo "in vain: ${*:2}"; tail -20 "$log"; return 1
}

# PostgreSQL refuses to be root.
as_postgres() {
  if [ "$(id -u)" != 0 ]; then "$@"; return; fi
  setpriv --reuid postgres --regid postgres --init-groups env --chdir=/ "$@"
}

start_database() {
  local binaries log=$work/postgres/log name
  binaries=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
  # Not in the work folder, which is nobody else's to enter.
  database=$(as_postgres mktemp -d)
  trap 'finish; rm -rf "$database"' EXIT
  container postgres
  # The server's own, and nobody else's to read: as the container's entrypoint makes the key.
  for name in postgres.crt postgres.key postgres-password; do
    as_postgres sh -c 'umask 077; cat >"$1"' sh "$database/$name" <"$work/postgres/secrets/$name"
  done
  as_postgres "$binaries/initdb" --no-sync --auth=scram-sha-256 --username=postgres --encoding=UTF8 --locale=C \
    --pwfile="$database/postgres-password" "$database/data" >"$log"
  as_postgres "$binaries/postgres" -D "$database/data" -k "$database" -p "$database_port" -c fsync=off \
    -c ssl=on -c ssl_cert_file="$database/postgres.crt" -c ssl_key_file="$database/postgres.key" >>"$log" 2>&1 &
  programs+=($!)
  wait_for "$log" pg_isready --host=localhost --port="$database_port"
  localize "$deploy/postgres/roles.sql" "$work/roles.sql" "$work/postgres"
  psql_as postgres postgres --file="$work/roles.sql"
}

# psql as a role, into a database, as the containers reach it.
psql_as() {
  PGPASSWORD=$(cat "$work/secrets/${1#wsts_}-password") PGSSLMODE=verify-full PGSSLROOTCERT=$work/secrets/ca.pem \
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --host=localhost --port="$database_port" \
    --username="$1" --dbname="$2" "${@:3}"
}

# Whether a replica is ready. The first key of the second region to start waits until every gateway has it; here it shall
# have waited already.
ready() {
  psql_as wsts_owner wsts --command="UPDATE signing_keys
    SET published_at = published_at - interval '10 minutes', sign_from = now() - interval '1 minute'
    WHERE generation = 1 AND sign_from > now()"
  "$wsts" healthcheck --url "http://${address[$1]}:9464/readyz"
}

# The owner's work, then each replica; all with the secrets and the environment that Compose gives them.
start_wsts() {
  local name
  for name in registry "${replicas[@]}"; do
    container "$name"
    localize "$deploy/wsts.toml" "$work/$name/wsts.toml" "$work/$name"
  done
  (wsts_of registry apply --file "$deploy/registry.toml" --secrets-to "$work/clients") >"$work/registry/log"
  psql_as wsts_owner wsts --file="$deploy/postgres/grants.sql"
  for name in "${replicas[@]}"; do
    (wsts_of "$name" config check) >"$work/$name/checked"
    (wsts_of "$name" serve) >"$work/$name/log" 2>&1 &
    programs+=($!)
    wait_for "$work/$name/log" ready "$name"
  done
}

start_envoy() {
  container envoy
  local name
  for name in "${replicas[@]}"; do
    grep -q "address: $name," "$deploy/envoy/envoy.yaml" || { echo "envoy.yaml leaves $name out"; return 1; }
  done
  localize "$deploy/envoy/envoy.yaml" "$work/envoy/envoy.yaml" "$work/envoy"
  "$environment/bin/envoy" --mode validate --log-level error --config-path "$work/envoy/envoy.yaml"
  PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root/tests/sdk "$python" "$here/model.py" "${address[model]}" >"$work/model.log" 2>&1 &
  programs+=($!)
  "$environment/bin/envoy" --config-path "$work/envoy/envoy.yaml" --concurrency 1 --disable-hot-restart --log-level warn \
    >"$work/envoy/log" 2>&1 &
  programs+=($!)
}

# curl to a port of Envoy, under the name that its users call.
through_envoy() { curl -sS --cacert "$work/secrets/ca.pem" --connect-to "::${address[envoy]}:" "$@"; }

# Prints a token for an audience, issued in the region behind a port.
token() {
  local secret
  secret=$("$python" -c 'import json, sys; print(json.load(sys.stdin)["client_secret"])' <"$work/clients")
  through_envoy --fail "https://localhost:$1/oauth2/token" -d grant_type=client_credentials -d "resource=$2" \
    -d client_id=33333333-3333-3333-3333-333333333333 --data-urlencode "client_secret=$secret" |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'
}

# Fails unless the model's gateway answers a token with a status.
expect() {
  local status
  status=$(through_envoy --output "$work/answer" --write-out '%{http_code}' https://localhost:8080/score \
    ${2:+--header "Authorization: Bearer $2"} --header 'x-token-claims: forged')
  [ "$status" = "$1" ] || { echo "$3: the gateway answered $status, not $1"; return 1; }
}

try_tokens() {
  local issuer=https://localhost:8443 good name
  scorer() { sed -n "s|^workspace = \"\(.*/$1\)\"|$issuer\1/onlineEndpoints/scorer|p" "$deploy/registry.toml"; }
  wait_for "$work/envoy/log" token 8443 "$issuer"
  good=$(token 8444 "$(scorer west)")
  wait_for "$work/envoy/log" expect 200 "$good" "a token, issued in the other region"
  # The model learns the claims, once, and sees neither the token nor what the caller says of itself.
  grep -q '"x-token-claims": \["[A-Za-z0-9_-]*"\]' "$work/answer" && ! grep -qi 'authorization\|forged' "$work/answer" ||
    { echo "the model was sent:"; cat "$work/answer"; return 1; }
  # Envoy sends nothing to a replica that it does not find ready.
  for _ in 1 2 3 4 5; do token 8443 "$(scorer west)" >/dev/null; done
  for name in "${replicas[@]}"; do
    curl -sS "http://${address[$name]}:9464/metrics" | grep 'http_route="/oauth2/token"' >/dev/null ||
      { echo "Envoy sent nothing to $name: does it ask the right port for its health?"; return 1; }
  done
  expect 403 "$(token 8443 "$(scorer north)")" "another model's token"
  expect 403 "$(token 8443 "$issuer")" "a management token"
  expect 401 "" "no token"
  if psql_as wsts_serve wsts --command='DELETE FROM audit_records' 2>"$work/denied"; then
    echo "the role that serves removed audit records"; return 1
  fi
  grep -q 'permission denied' "$work/denied"
}

# Every second in place of every quarter of a minute, else as shipped.
start_prometheus() {
  local port url
  port=$(free_port); url=http://127.0.0.1:$port
  mkdir "$work/prometheus"
  localize "$deploy/prometheus/prometheus.yml" "$work/prometheus/whole.yml" "$work/prometheus"
  sed 's/15s/1s/g' "$work/prometheus/whole.yml" >"$work/prometheus/prometheus.yml"
  cp "$deploy/prometheus/rules.yml" "$work/prometheus/"
  prometheus --config.file="$work/prometheus/prometheus.yml" --storage.tsdb.path="$work/prometheus/data" \
    --web.listen-address="127.0.0.1:$port" >"$work/prometheus/log" 2>&1 &
  programs+=($!)
  wait_for "$work/prometheus/log" curl -sS --fail "$url/-/ready"
  "$python" "$here/names.py" "$url" "${#replicas[@]}" "$deploy/grafana/dashboard.json" "$root"
}

build_service
parse
"$deploy/make-secrets" "$work/secrets" >/dev/null
"$python" "$here/compose.py" "$work/compose.json" secrets "$work/secrets"
read_compose
start_database
start_wsts
start_envoy
try_tokens
start_prometheus
echo "deploy/: read by promtool, hadolint, Compose, Envoy and Grafana's types; ran with ${#replicas[@]} replicas in two regions"
