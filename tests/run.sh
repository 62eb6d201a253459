#!/usr/bin/env bash
# Installs what the tests need, says what, and runs them: formatting, lints, then every test.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

# A C compiler builds SQLite, Zstandard and the allocator; `git` is what a workspace is kept in; `script` gives a test a terminal;
# `cvc5` proves boundaries; `ssh-keygen` and `ssh-agent` check that signatures are those of OpenSSH;
# `python3` checks bundles by `tests/check_bundle.py` and `tests/check_answers.py`, and with `openssl` in-toto statements by `tests/check_intoto.py`.
missing=()
command -v cc >/dev/null || missing+=(build-essential)
command -v git >/dev/null || missing+=(git)
command -v script >/dev/null || missing+=(bsdutils)
command -v cvc5 >/dev/null || missing+=(cvc5)
command -v ssh-keygen >/dev/null && command -v ssh-agent >/dev/null || missing+=(openssh-client)
command -v python3 >/dev/null || missing+=(python3)
command -v openssl >/dev/null || missing+=(openssl)
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update -qq
  $sudo apt-get install -y -qq "${missing[@]}"
fi
if ! command -v cargo >/dev/null; then
  echo "error: cargo is not here; install Rust 1.95 with rustup (https://rustup.rs) and run this again" >&2
  exit 2
fi
rustup component add rustfmt clippy >/dev/null 2>&1 || true

say "formatting"
cargo fmt --check

say "lints, warnings are errors"
cargo clippy --all-targets --locked -- -D warnings

say "tests"
cargo test --locked
