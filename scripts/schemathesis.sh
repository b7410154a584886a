#!/bin/sh
# Asks a server without a node for everything its OpenAPI documents offer, with values that schemathesis makes up, in a
# lab: no answer may be a 5xx, break the documents, or refuse without a Status. What needs a node is left out.
# Usage: scripts/schemathesis.sh [SECONDS [SEED]]
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "${PLINTH_URL:-}" ]; then
  exec "$project/scripts/without-node.sh" "$0" "$@"
fi

seconds=${1:-60}
seed=${2:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
here=$project/tests/clients/schemathesis
tools=$project/target/tools/python
# It leaves things where it runs.
cd "$LAB_DIR"
python3 "$here/document.py" "$PLINTH_URL" "$PLINTH_PKI/ca.crt" "$PLINTH_PKI/admin.crt" "$PLINTH_PKI/admin.key" "$seed" \
  > document.json
echo "schemathesis: seed $seed"
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$tools:$here" SCHEMATHESIS_HOOKS=hooks
exec "$tools/bin/schemathesis" run document.json --url "$PLINTH_URL" --tls-verify "$PLINTH_PKI/ca.crt" \
  --request-cert "$PLINTH_PKI/admin.crt" --request-cert-key "$PLINTH_PKI/admin.key" \
  --phases fuzzing --max-time "$seconds" --max-examples $((1 + seconds / 20)) --seed "$seed" --workers 2 \
  --checks content_type_conformance,response_schema_conformance,refusals_are_statuses \
  --exclude-path-regex '/(exec|attach|portforward|proxy|log)(/|$)|/watch/|^/logs|\{path\}' \
  --continue-on-failure --no-shrink --generation-database none --suppress-health-check all --warnings off --no-color
