#!/usr/bin/env bash
# Choose the versions of everything that the relay stands on, and write them down with their hashes.
#
#   requirements.lock         what runs: the image's second stage
#   requirements-build.lock   what builds the wheel: its first stage
#   requirements-dev.lock     both, and what the tests, the checks and the demo need: `make setup`
#
# One file each for every Python from 3.11 on. A version that is locked stays until it is asked to
# move: `make lock ARGS=--upgrade`, or ARGS="--upgrade-package httpx".
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/python -m pip install -qq --disable-pip-version-check 'uv>=0.9,<1'

compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --custom-compile-command 'make lock' "$@"
}

compile "$@" -o requirements.lock pyproject.toml
.venv/bin/python - <<'EOF' | compile "$@" -o requirements-build.lock -c requirements.lock -
import tomllib

with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["build-system"]["requires"], sep="\n")
EOF
compile "$@" -o requirements-dev.lock --all-extras \
    -c requirements.lock -c requirements-build.lock pyproject.toml
