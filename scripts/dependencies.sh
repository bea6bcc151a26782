#!/usr/bin/env bash
# Checks the dependencies against deny.toml: licences, one version of each, known sources. Builds cargo-deny into the
# cache folder first if it is missing, which takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=${XDG_CACHE_HOME:-$HOME/.cache}/halkspeech/tools

if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    cargo install --quiet --locked --root "$tools" --target-dir "$tools/build" "cargo-deny@$version"
    rm -rf "$tools/build"
fi
"$tools/bin/cargo-deny" --locked check bans licenses sources
