#!/bin/sh
# Builds a test program of the runner against the libraries of a finished cargo build, outside the product's build.
# usage: build.sh OUTPUT SOURCE [COMPILER OPTION...]
#   OBJECTS           the folder for object files (default: OUTPUT.objects), with a folder for each GPU and options
#   CARGO_TARGET_DIR  the folder of that build (default: ~/.cache/halkspeech/target)
#   GPU               `host`: with the code for GPUs, compiled for this processor (host_cuda)
#                     `cuda`: with the code for GPUs, for compute capability $CUDA_ARCH (default: 90a), by the toolkit in
#                     CUDA_TOOLKIT_ROOT_DIR (scripts/cuda_toolkit.sh)
set -eu
output=$1 source=$2
shift 2
runner=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$HOME/.cache/halkspeech/target}/release/build
ct2rs=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/ct2rs-0.10.3/CTranslate2)
CUDA_ARCH=${CUDA_ARCH:-90a}
# A folder for each device, architecture and list of options, whose objects differ.
kind=${GPU:-cpu}
case $kind in cuda) kind=cuda-$CUDA_ARCH ;; esac
objects=${OBJECTS:-$output.objects}/$kind-$(echo "$*" | cksum | cut -d ' ' -f 1)
mkdir -p "$objects"
options="-std=c++17 -O3 -g1 -fopenmp -ffp-contract=off -Wall -Wextra -isystem $ct2rs/include -I$runner"
files="$(echo "$runner"/*.cc "$runner"/model/*.cc "$runner"/kernels/*.cc "$runner"/kernels/cpu/*.cc) $source"
libraries=
case ${GPU:-} in
    host)
        options="$options -DHALKSPEECH_CUDA_RUNNER -DHALKSPEECH_HOST_CUDA -I$runner/tests/host_cuda -Wno-unknown-pragmas -fno-strict-aliasing"
        for file in "$runner"/cuda/*.cc "$runner"/cuda/*.cu "$runner"/tests/host_cuda/*.cc; do
            # host_cuda/libraries.cc has plain functions in their place.
            case $file in */cuda/products.cc | */cuda/flash*.cu) ;; *) files="$files $file" ;; esac
        done ;;
    cuda)
        options="$options -DHALKSPEECH_CUDA_RUNNER -isystem $CUDA_TOOLKIT_ROOT_DIR/include"
        files="$files $(echo "$runner"/cuda/*.cc "$runner"/cuda/*.cu)"
        libraries="$CUDA_TOOLKIT_ROOT_DIR/lib64/libcudart_static.a -lrt" ;;
    '') ;;
    *) echo "GPU is host or cuda" >&2; exit 1 ;;
esac
all=
for file in $files; do
    object=$objects/$(basename "$(dirname "$file")")_$(basename "$file").o
    all="$all $object"
    newer=$(find "$runner" "$runner/../cuda" "$file" -newer "$object" \( -name '*.h' -o -name '*.cuh' -o -name '*.inc' -o -path "$file" \) 2>/dev/null | head -1)
    if [ -f "$object" ] && [ -z "$newer" ]; then continue; fi
    case ${GPU:-}$file in
        cuda*.cu)
            nice -n 10 "$CUDA_TOOLKIT_ROOT_DIR/bin/nvcc" -std=c++17 -O3 --expt-relaxed-constexpr -DHALKSPEECH_CUDA \
                -gencode=arch=compute_"$CUDA_ARCH",code=sm_"$CUDA_ARCH" -isystem "$ct2rs/include" \
                -isystem "$ct2rs/third_party/cutlass/include" -I"$runner" -c "$file" -o "$object" ;;
        *)
            # shellcheck disable=SC2086
            nice -n 10 g++ $options "$@" -x c++ -c "$file" -o "$object" ;;
    esac
done
ct2=$(dirname "$(ls "$target"/ct2rs-*/out/build/libctranslate2.a | head -1)")
# shellcheck disable=SC2046,SC2086
g++ $options "$@" -o "$output" $all "$ct2/libctranslate2.a" \
    -Wl,--start-group $(find "$ct2/third_party/ruy" -name 'lib*.a') -Wl,--end-group \
    "$ct2/third_party/cpu_features/libcpu_features.a" $libraries -lpthread -ldl
