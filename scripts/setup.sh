#!/usr/bin/env bash
# Set this checkout up: the Debian packages that are missing, a venv at .venv with relay in it.
#
#   scripts/setup.sh            what running needs
#   scripts/setup.sh postgres   that, and a PostgreSQL for the tests
#
# Quick the second time: a stamp in the venv says what it was made from. Packages are installed when
# this user may (root, or sudo without a password) and named with the command when not.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$*" >&2; }
give_up() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# The first Python that is new enough: $PYTHON, the usual name, then the versioned ones.
find_python() {
    local name
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

has_postgres() {
    command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

# Debian packages whose work is not done by anything on this machine.
missing_packages() {
    command -v cc >/dev/null || echo gcc libc6-dev
    command -v pkg-config >/dev/null || echo pkg-config
    pkg-config --exists soxr 2>/dev/null || echo libsoxr-dev
    pkg-config --exists openssl 2>/dev/null || echo libssl-dev
    if [ -n "$python" ]; then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
        "$python" - 2>/dev/null <<'EOF' || echo python3-dev
import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())
EOF
    else
        echo python3 python3-venv python3-dev
    fi
    if [ "$want_postgres" = yes ]; then has_postgres || echo postgresql; fi
}

install_packages() {
    local root=()
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || give_up "missing packages; install them with: sudo apt-get install -y $*"
        root=(sudo -n)
    fi
    command -v apt-get >/dev/null ||
        give_up "missing, and this is no Debian: $* (Homebrew: libsoxr openssl@3 pkgconf postgresql)"
    say "installing $*"
    "${root[@]}" apt-get update -qq >/dev/null || say "apt-get update failed; trying with what is known"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        give_up "apt-get could not install: $*"
}

# What the venv is made from: when this changes, it is brought up to date.
fingerprint() {
    { echo "$PWD"; "$python" --version
      cat requirements-dev.lock pyproject.toml setup.py MANIFEST.in scripts/setup.sh native/*.c native/*.h native/*.py
    } | sha256sum | cut -d' ' -f1
}

want_postgres=no
[ "${1:-}" = postgres ] && want_postgres=yes
python=$(find_python) || python=
packages=$(missing_packages | tr '\n' ' ')
if [ -n "${packages// /}" ]; then
    # shellcheck disable=SC2086 # a list of words
    install_packages $packages
    python=$(find_python) || give_up "no Python of version 3.11 or newer was found"
fi

stamp=.venv/.made-from
made_from=$(fingerprint)
if [ "$(cat "$stamp" 2>/dev/null)" = "$made_from" ] && [ -x .venv/bin/relay ]; then exit 0; fi

say "making .venv with $("$python" --version)"
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    "$python" -m venv .venv
fi
rm -f relay/audio/_native*.so
pip() { .venv/bin/python -m pip -qq --disable-pip-version-check "$@"; }
# What is locked, by its hashes; then the relay, which finds all of that there already.
pip install --require-hashes -r requirements-dev.lock
pip install --editable '.[demo,dev]'
echo "$made_from" > "$stamp"
