#!/usr/bin/env bash
# Runs the tests in Rust. `cargo test` ignores tests with special requirements, with the reason; they are in modules
# named needs_..., and those whose requirements are met on this machine are run afterwards, by that name.
#
# usage: scripts/test.sh [FLAG...]        flags of `cargo test`, such as --release
#
# HALKSPEECH_RECORDINGS   the folder of recordings (CONTRIBUTING.md)
# MODELS_DIR              folder of the models, for the networks of speaker diarization
# HALKSPEECH_REQUIRE      required things, separated by commas: recordings, speakers, ffmpeg, python, avx2, gpu. It is an error
#                         if one of them is missing. Other names belong to tests/e2e.
set -euo pipefail
flags=$*

say() { printf 'test: %s\n' "$*" >&2; }

has_recordings() { [ -d "${HALKSPEECH_RECORDINGS-}" ]; }
has_speakers() { [ -d "${MODELS_DIR:-$HOME/.cache/halkspeech/models}/speaker-diarization" ]; }
has_ffmpeg() { command -v ffmpeg >/dev/null; }
has_python() { python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; }
# Only builds with this feature have tests that need a GPU.
has_gpu() { [[ $flags == *cuda-runner* ]] && nvidia-smi -L 2>/dev/null | grep -q GPU; }
has_avx2() { grep -qsw avx2 /proc/cpuinfo && grep -qsw fma /proc/cpuinfo; }

install_hint() {
    case $1 in
        recordings)
            echo "set HALKSPEECH_RECORDINGS to their folder${HALKSPEECH_RECORDINGS:+; $HALKSPEECH_RECORDINGS is not a folder}"
            ;;
        speakers) echo "run scripts/fetch_models.sh speaker-diarization" ;;
        ffmpeg) echo "install ffmpeg" ;;
        python) echo "install Python 3.9 or later as python3" ;;
        avx2) echo "use a processor with AVX2 and FMA" ;;
        gpu) echo "use a machine with an NVIDIA GPU and --features cuda-runner" ;;
    esac
}

is_required() { [[ ",${HALKSPEECH_REQUIRE-}," =~ ,\ *$1\ *, ]]; }

run=() skip=() missing=() required=()
for name in recordings speakers ffmpeg python avx2 gpu; do
    if "has_$name"; then
        run+=("needs_$name")
    else
        # A test with two requirements is in both modules.
        skip+=(--skip "needs_$name")
        missing+=("$name")
        if is_required "$name"; then required+=("$name"); fi
    fi
done

say_missing() {
    for name in "$@"; do say "tests that need $name are not run: $(install_hint "$name")"; done
}

if [ ${#required[@]} -gt 0 ]; then
    say_missing "${required[@]}"
    say "HALKSPEECH_REQUIRE lists missing things"
    exit 1
fi

# The tests of a package run in its folder, so the path must be absolute.
if has_recordings; then HALKSPEECH_RECORDINGS=$(cd "$HALKSPEECH_RECORDINGS" && pwd) && export HALKSPEECH_RECORDINGS; fi
cd "$(dirname "$0")/.."

cargo test --workspace "$@"
if [ ${#run[@]} -gt 0 ]; then
    say "running the ignored tests: ${run[*]}"
    cargo test --workspace --tests "$@" -- --ignored "${run[@]}" "${skip[@]}"
fi
say_missing "${missing[@]}"
