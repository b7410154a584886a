#!/bin/sh
# Asks a server without a node for everything its OpenAPI documents offer, with values that schemathesis makes up, in a
# lab: no answer may be a 5xx, break the documents, or refuse without a Status. What needs a node is left out.
# Usage: scripts/schemathesis.sh [SECONDS [SEED]]
set -eu
cd "$(dirname "$0")/.."
bin=${PLINTH_BIN_DIR:-target/debug}
if [ -z "${LAB_DIR:-}" ]; then
  exec "$bin/in-lab" "$0" "$@"
fi

seconds=${1:-60}
seed=${2:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
: > "$LAB_DIR/resolv.conf"
"$bin/plinth" server --no-agent --data-dir "$LAB_DIR/data" --run-dir "$LAB_DIR/run" --log-dir "$LAB_DIR/logs" \
  --write-kubeconfig "$LAB_DIR/kubeconfig.yaml" --resolv-conf "$LAB_DIR/resolv.conf" > "$LAB_DIR/out" 2> "$LAB_DIR/log" &
server=$!
trap 'kill $server; wait $server || true' EXIT
until grep -q KUBECONFIG "$LAB_DIR/out"; do
  kill -0 $server || { cat "$LAB_DIR/log"; exit 1; }
  sleep 0.1
done
pki="$LAB_DIR/data/pki"
url=https://127.0.0.1:6443
project=$(pwd)
here=$project/tests/clients/schemathesis
python3 $here/document.py $url "$pki/ca.crt" "$pki/admin.crt" "$pki/admin.key" "$seed" > "$LAB_DIR/document.json"
echo "schemathesis: seed $seed"
cd "$LAB_DIR"
tools=$project/target/tools/python
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$tools:$here SCHEMATHESIS_HOOKS=hooks "$tools/bin/schemathesis" \
  run "$LAB_DIR/document.json" --url $url --tls-verify "$pki/ca.crt" \
  --request-cert "$pki/admin.crt" --request-cert-key "$pki/admin.key" \
  --phases fuzzing --max-time "$seconds" --max-examples $((1 + seconds / 20)) --seed "$seed" --workers 2 \
  --checks content_type_conformance,response_schema_conformance,refusals_are_statuses \
  --exclude-path-regex '/(exec|attach|portforward|proxy|log)(/|$)|/watch/|^/logs|\{path\}' \
  --continue-on-failure --no-shrink --generation-database none --suppress-health-check all --warnings off --no-color
if grep -q panicked "$LAB_DIR/log"; then
  grep -A 3 panicked "$LAB_DIR/log"
  exit 1
fi
