#!/bin/sh
# Replays the recorded answers of a real Kubernetes against a server without a node, inside a lab.
# Usage: scripts/reference.sh [api|traces] [ARGUMENTS FOR THE TOOL…]; needs ../shared/reference.
set -eu
cd "$(dirname "$0")/.."
bin=${PLINTH_BIN_DIR:-target/release}
if [ -z "${LAB_DIR:-}" ]; then
  if [ ! -d ../shared/reference ]; then
    echo "SKIPPED: ../shared/reference is absent"
    exit 0
  fi
  exec "$bin/in-lab" "$0" "$@"
fi

which=${1:-api}
[ $# -gt 0 ] && shift
: > "$LAB_DIR/resolv.conf"
# As the recordings were made: with a token, so that a request without one is nobody's.
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
(umask 077; echo "$token,reference,reference,system:masters" > "$LAB_DIR/tokens")
"$bin/plinth" server --no-agent --data-dir "$LAB_DIR/data" --run-dir "$LAB_DIR/run" --log-dir "$LAB_DIR/logs" \
  --write-kubeconfig "$LAB_DIR/kubeconfig.yaml" --resolv-conf "$LAB_DIR/resolv.conf" --token-auth-file "$LAB_DIR/tokens" > "$LAB_DIR/out" 2> "$LAB_DIR/log" &
server=$!
trap 'kill $server; wait $server || true' EXIT
until grep -q KUBECONFIG "$LAB_DIR/out"; do
  kill -0 $server || { cat "$LAB_DIR/log"; exit 1; }
  sleep 0.1
done
cert="$LAB_DIR/data/pki/admin.crt"
key="$LAB_DIR/data/pki/admin.key"
tool=../shared/reference
case $which in
  api) python3 $tool/api/replay.py compare $tool/api/visible --server https://127.0.0.1:6443 --token "$token" "$@" ;;
  traces) python3 $tool/traces/trace.py compare --server https://127.0.0.1:6443 --cert "$cert" --key "$key" "$@" $tool/traces/visible ;;
  *) echo "reference.sh: $which: api or traces?" >&2; exit 2 ;;
esac
