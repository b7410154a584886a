#!/bin/sh
# Runs the cargo-fuzz targets, each for so many seconds, from the seeds in fuzz/seeds and what was found before in
# fuzz/corpus. A crash ends it and leaves the input in fuzz/artifacts. Usage: scripts/fuzz.sh [SECONDS [TARGET…]]
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-30}
[ $# -gt 0 ] && shift
tools=$(pwd)/target/tools
if [ ! -x "$tools/bin/cargo-fuzz" ]; then
  cargo install --quiet --locked --root "$tools" cargo-fuzz --version 0.13.2
fi
# The stable toolchain, with the flags that otherwise only nightly takes. No sanitizer: nothing here is unsafe but what
# others have fuzzed, and it would make everything slower.
export RUSTC_BOOTSTRAP=1
fuzz() { command=$1; shift; "$tools/bin/cargo-fuzz" fuzz "$command" --sanitizer none "$@"; }
fuzz build
# Stores of images are synced to disk; in memory that is a hundred times faster.
[ -d /dev/shm ] && export TMPDIR=/dev/shm
[ $# -gt 0 ] || set -- $("$tools/bin/cargo-fuzz" fuzz list)
for target; do
  echo "== $target"
  mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target"
  fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- -max_total_time="$seconds" -timeout=10 \
    -rss_limit_mb=2048 -max_len=8192 -dict=fuzz/words.dict -verbosity=0 -print_final_stats=1
done
