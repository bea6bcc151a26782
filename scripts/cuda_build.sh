#!/usr/bin/env bash
# Builds the server for CPU and NVIDIA GPUs in one program, on a machine that needs no GPU, driver or CUDA toolkit,
# and checks the binary. Called by `make cuda` and `make cuda-runner`.
#
# usage: scripts/cuda_build.sh [cargo build arguments]
#
# CARGO_TARGET_DIR  build folder: a separate one, because the build would replace the CPU program
# CUDA_FEATURE      cuda: CTranslate2's own search on GPUs    (default)
#                   cuda-runner: the runner (docs/gpu.md)
# CUDA_ARCH_LIST    compute capabilities of the GPUs to build for    (default: 8.0;8.6;8.9;9.0)
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

feature=${CUDA_FEATURE:-cuda}
case $feature in
    cuda) libraries=libcublas,libcublasLt ;;
    cuda-runner) libraries=libcublasLt ;;
    *) echo "CUDA_FEATURE is cuda or cuda-runner" >&2; exit 1 ;;
esac
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/halkspeech/target-$feature}
# By default ct2rs builds for GPUs that CUDA 13 no longer supports.
export CUDA_ARCH_LIST=${CUDA_ARCH_LIST:-8.0;8.6;8.9;9.0}
CUDA_TOOLKIT_ROOT_DIR=$(scripts/cuda_toolkit.sh)
export CUDA_TOOLKIT_ROOT_DIR
# For ct2rs and cmake these take precedence over CUDA_TOOLKIT_ROOT_DIR.
unset CUDA_PATH CUDA_ROOT CUDA_BIN_PATH CUDNN_LIB CUDA_NVCC_EXECUTABLE

# The build script of ct2rs does not notice changes of these two, so an older build is deleted here. For the runner it
# compiles no CUDA code.
stamp=$CARGO_TARGET_DIR/cuda-built-with
configuration="$CUDA_TOOLKIT_ROOT_DIR $CUDA_ARCH_LIST"
if [ "$feature" = cuda ] && [ "$configuration" != "$(cat "$stamp" 2>/dev/null)" ]; then
    mkdir -p "$CARGO_TARGET_DIR"
    cargo clean --quiet --release --locked -p ct2rs
    echo "$configuration" > "$stamp"
fi

cargo build --release --locked --features "$feature" "$@"
scripts/check_cuda_binary.py "$CARGO_TARGET_DIR/release/halkspeech" --libraries "$libraries"
