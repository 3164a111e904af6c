#!/usr/bin/env bash
# Feeds parsers what nobody would send, each target for so many minutes; ends with 1 at the first finding.
#   fuzz.sh [MINUTES] [TARGET]...      10 minutes and all targets of fuzz/ by default
# libFuzzer needs a coverage pass that stable compilers have and lock; RUSTC_BOOTSTRAP unlocks it, so no nightly is needed.
# Corpora stay in target/fuzz/corpus, findings in target/fuzz/findings.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
minutes=${1:-10}; [ $# -eq 0 ] || shift
targets=("$@"); [ $# -gt 0 ] || targets=(request prompt range journal)
cargo fuzz --version >/dev/null 2>&1 || { echo "installing cargo-fuzz from crates.io" >&2; cargo install --quiet --locked cargo-fuzz; }
export RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0
for target in "${targets[@]}"; do
  mkdir -p target/fuzz/corpus/$target target/fuzz/findings
  cargo fuzz run --fuzz-dir fuzz --target-dir target/fuzz/build -s none "$target" \
    target/fuzz/corpus/$target fuzz/seeds/$target -- -max_total_time=$((minutes * 60)) -timeout=20 -rss_limit_mb=2048 \
    -max_len=16384 -print_final_stats=1 -verbosity=0 -artifact_prefix=target/fuzz/findings/
  echo "$target: $minutes min without a finding"
done
