#!/usr/bin/env bash
# Runs the tests of real sound cards and of systemd (tests/it/vm.rs) in the virtual machine of vm.sh.
#   test-vm.sh [TEST]    only those whose name holds TEST
set -euo pipefail
here=$(dirname "$(realpath "$0")"); root=$(realpath "$here/..")
"$here/vm.sh" build
cd "$root"
built=$(cargo test --no-run --test it --message-format json | sed -n 's/.*"executable":"\([^"]*\/it-[^"]*\)".*/\1/p' | tail -1)
program=$(dirname "$built")/../tonearm
share=$root/target/vm/share; rm -rf "$share"; mkdir -p "$share"
cp "$built" "$share/it"; cp "$program" "$share/tonearm"; cp -r systemd "$share/"
# The tests know the program by the place where it was built.
"$here/vm.sh" run "${SECONDS_LIMIT:-1500}" "$share" "
  mkdir -p $(printf %q "$(dirname "$(realpath -m "$program")")") && cp /host/tonearm /usr/bin/tonearm
  cp /host/it /tmp/it && ln -s /usr/bin/tonearm $(printf %q "$(realpath -m "$program")")
  cd /tmp && TONEARM_VM=1 RUST_BACKTRACE=0 /tmp/it --ignored --nocapture --test-threads 1 vm::${1:-}"
