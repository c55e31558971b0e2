#!/usr/bin/env bash
# Ask whether something known to be unsafe is locked. Ends with 1 when it is, and with 3 when nobody
# could be asked: silence is no all-clear.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/python -m pip install -qq --disable-pip-version-check 'pip-audit>=2.9,<3'

status=0
for list in requirements.lock requirements-build.lock requirements-dev.lock; do
    report=$(.venv/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
        -r "$list" 2>&1) && { echo "$list: $report"; continue; }
    echo "$list: $report"
    # A finding names its package in a table; anything else means that there was no answer.
    if grep -q '^Found [0-9]* known vulnerabilit' <<<"$report"; then
        status=1
    elif [ "$status" = 0 ]; then
        echo "audit: the list of known faults could not be asked, so nothing is known" >&2
        status=3
    fi
done
exit "$status"
