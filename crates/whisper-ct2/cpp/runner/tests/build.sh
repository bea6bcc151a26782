#!/bin/sh
# Builds a test program of the runner against the libraries of a finished cargo build, outside the product's build.
# usage: build.sh OUTPUT SOURCE [COMPILER OPTION...]
#   CARGO_TARGET_DIR  the folder of that build (default: ~/.cache/halkspeech/target)
set -eu
output=$1 source=$2
shift 2
runner=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$HOME/.cache/halkspeech/target}/release/build
ct2rs=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/ct2rs-0.10.3/CTranslate2)
objects=${OBJECTS:-$output.objects}
mkdir -p "$objects"
options="-std=c++17 -O3 -g1 -fopenmp -ffp-contract=off -Wall -Wextra -isystem $ct2rs/include -I$runner"
all=
for file in "$runner"/runner.cc "$runner"/model/*.cc "$runner"/kernels/*.cc "$runner"/kernels/cpu/*.cc "$source"; do
    object=$objects/$(basename "$(dirname "$file")")_$(basename "$file" .cc).o
    all="$all $object"
    newer=$(find "$runner" "$file" -newer "$object" \( -name '*.h' -o -name '*.inc' -o -path "$file" \) 2>/dev/null | head -1)
    if [ -f "$object" ] && [ -z "$newer" ]; then continue; fi
    # shellcheck disable=SC2086
    nice -n 10 g++ $options "$@" -c "$file" -o "$object"
done
first() { ls $1 | head -1; }
# shellcheck disable=SC2086
g++ $options "$@" -o "$output" $all \
    "$(first "$target/ct2rs-*/out/build/libctranslate2.a")" \
    $(find "$target"/ct2rs-*/out/build/third_party/ruy -name 'lib*.a' -exec echo -Wl,--start-group {} + -exec echo -Wl,--end-group \;) \
    "$(first "$target/ct2rs-*/out/build/third_party/cpu_features/libcpu_features.a")" -lpthread -ldl
