# Sourced by the checks beside it: a quickstart service on free ports, and whatever else they start, each ended by its
# own process id.
set -euo pipefail
tools=${WSTS_TEST_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/wsts-tests}
mkdir -p "$tools"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
# Process ids, each added where one is started. The last is ended first: it may depend on those before it.
programs=()

finish() {
  local place
  for ((place = ${#programs[@]} - 1; place >= 0; place--)); do
    kill "${programs[place]}" 2>/dev/null || true
    wait "${programs[place]}" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Installs Debian packages that are missing.
debian() {
  local missing=()
  for package in "$@"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
  [ ${#missing[@]} -eq 0 ] && return
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
}

# Makes a Python environment of the packages that a file names, once for each content of it, and prints its folder.
python_environment() {
  local name=$1 requirements=$2 python=${3:-python3} folder
  folder=$tools/$name-$(sha256sum <"$requirements" | cut -c1-12)
  if [ ! -e "$folder/complete" ]; then
    # By `&&`: what runs for its output is not ended by `set -e`.
    "$python" -m venv --clear "$folder" >&2 &&
      "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" >&2 &&
      touch "$folder/complete" || return 1
  fi
  echo "$folder"
}

# Makes a key and a self-signed certificate for it, NAME.key and NAME.crt in $work/keys, and NAME.pem of both, as Azure's
# clients want it. After the name: the kind of key, in the words of `openssl req`.
certificate() {
  local file=$work/keys/$1
  mkdir -p "$work/keys"
  openssl req -x509 -nodes -days 2 -subj "/CN=$1" -keyout "$file.key" -out "$file.crt" -newkey "${@:2}" \
    2>"$work/openssl.log" || { cat "$work/openssl.log"; return 1; }
  cat "$file.key" "$file.crt" >"$file.pem"
}

# Builds the binary; sets wsts.
build_service() {
  (cd "$root" && cargo build --locked --quiet --bin wsts)
  wsts="${CARGO_TARGET_DIR:-$root/target}/debug/wsts"
}

# Starts the service; sets base, ops, ca, client_id, secret_file, webservice.
start_service() {
  build_service
  local port ops_port
  port=$(free_port); ops_port=$(free_port)
  "$wsts" quickstart --data "$work/data" --port "$port" --ops-port "$ops_port" >"$work/out" 2>"$work/log" &
  programs+=($!)
  base=https://localhost:$port; ops=http://127.0.0.1:$ops_port; ca=$work/data/ca.pem
  client_id=33333333-3333-3333-3333-333333333333
  secret_file=$work/data/$client_id.secret
  webservice=/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/demo-rg/providers/Microsoft.MachineLearningServices/workspaces/demo/onlineEndpoints/scorer
  for _ in $(seq 100); do
    grep -qs "^verified" "$work/out" && return
    kill -0 "${programs[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  echo "the service did not start:"; cat "$work/out" "$work/log"; return 1
}

# Prints a fresh token for the demo webservice.
fetch_token() {
  curl -sS --fail --cacert "$ca" "$base/oauth2/token" -d grant_type=client_credentials -d "client_id=$client_id" \
    --data-urlencode "client_secret@$secret_file" -d "resource=$base$webservice" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'
}
