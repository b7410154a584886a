#!/bin/sh
# Runs a command beside a server without a node, in a lab. The command finds the server by PLINTH_URL, PLINTH_PKI (its
# directory of certificates), KUBECONFIG and PLINTH_PID, and an empty directory in LAB_DIR. Fails, too, if anything in
# the server panicked or if the server is gone at the end. Usage: scripts/without-node.sh COMMAND [ARGUMENT…]
set -eu
bin=${PLINTH_BIN_DIR:-$(dirname "$0")/../target/debug}
if [ -z "${LAB_DIR:-}" ]; then
  exec "$bin/in-lab" "$0" "$@"
fi

state=$LAB_DIR/server
mkdir "$state"
: > "$state/resolv.conf"
"$bin/plinth" server --no-agent --data-dir "$state/data" --run-dir "$state/run" --log-dir "$state/logs" \
  --write-kubeconfig "$state/kubeconfig.yaml" --resolv-conf "$state/resolv.conf" > "$state/out" 2> "$state/log" &
PLINTH_PID=$!
until grep -q KUBECONFIG "$state/out"; do
  kill -0 $PLINTH_PID || { cat "$state/log"; exit 1; }
  sleep 0.1
done
export PLINTH_PID PLINTH_URL=https://127.0.0.1:6443 PLINTH_PKI="$state/data/pki" KUBECONFIG="$state/kubeconfig.yaml"
code=0
"$@" || code=$?
kill $PLINTH_PID || { echo "without-node: the server is gone"; code=1; }
wait $PLINTH_PID || { echo "without-node: the server ended with $?"; code=1; }
if grep -A 3 panicked "$state/log"; then
  code=1
fi
[ $code = 0 ] || tail -n 40 "$state/log"
exit $code
