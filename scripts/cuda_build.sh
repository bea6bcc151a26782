#!/usr/bin/env bash
# Builds the server for CPU and NVIDIA GPUs in one program, on a machine that needs no GPU, driver or CUDA toolkit,
# and checks what is in it. `make cuda` calls it.
#
# usage: scripts/cuda_build.sh [cargo build arguments]
#
# CARGO_TARGET_DIR  where the build goes: a folder of its own, or it would replace the CPU program
# CUDA_ARCH_LIST    compute capabilities of the GPUs to build for    (default: 8.0;8.6;8.9;9.0)
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/halkspeech/target-cuda}
# Unset, ct2rs asks for a list with cards that CUDA 13 no longer compiles for.
export CUDA_ARCH_LIST=${CUDA_ARCH_LIST:-8.0;8.6;8.9;9.0}
CUDA_TOOLKIT_ROOT_DIR=$(scripts/cuda_toolkit.sh)
export CUDA_TOOLKIT_ROOT_DIR
# ct2rs and cmake look at these before CUDA_TOOLKIT_ROOT_DIR.
unset CUDA_PATH CUDA_ROOT CUDA_BIN_PATH CUDNN_LIB CUDA_NVCC_EXECUTABLE

# The build script of ct2rs does not notice when these two change, so what it built with others is dropped here.
stamp=$CARGO_TARGET_DIR/cuda-built-with
wanted="$CUDA_TOOLKIT_ROOT_DIR $CUDA_ARCH_LIST"
if [ "$wanted" != "$(cat "$stamp" 2>/dev/null)" ]; then
    mkdir -p "$CARGO_TARGET_DIR"
    cargo clean --quiet --release --locked -p ct2rs
    echo "$wanted" > "$stamp"
fi

cargo build --release --locked --features cuda "$@"
scripts/check_cuda_binary.py "$CARGO_TARGET_DIR/release/halkspeech"
