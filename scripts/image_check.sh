#!/usr/bin/env bash
# Prove the Dockerfile on a machine without a Docker engine: its steps are carried out, in their
# order, in clean Debian roots, and the relay in the last one is started, asked and stopped.
#
#   make image-check                               needs root and debootstrap, about three minutes
#   IMAGE_BASE=folder make image-check             keeps the bare root there for the next time
#   MIRROR=address make image-check                packages from there, not from debootstrap's own
#
# What stands in for python:3.13-slim-trixie is Debian trixie with its own Python 3.13. All mounts
# are made in a namespace that ends with this script, and all files in a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly SUITE=trixie

missing=()
[ "$(id -u)" = 0 ] || missing+=("root, for chroot and mounts: sudo make image-check")
for tool in unshare chroot python3; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
command -v debootstrap >/dev/null || missing+=("debootstrap: apt-get install -y debootstrap")
if [ ${#missing[@]} = 0 ]; then
    [ -e "/usr/share/debootstrap/scripts/$SUITE" ] || missing+=("a debootstrap that knows $SUITE")
    unshare --mount --pid --fork true 2>/dev/null ||
        missing+=("leave to make mount and process namespaces (CAP_SYS_ADMIN)")
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || missing+=("Python 3.11 or newer")
fi
if [ ${#missing[@]} != 0 ]; then
    printf 'image-check cannot run here. Missing:\n' >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 2
fi

# On the way out the namespace is gone already, and with it whatever was mounted in here.
folder=$(mktemp -d "${TMPDIR:-/tmp}/image-check.XXXXXX")
trap 'rm -rf --one-file-system "$folder"' EXIT

base=${IMAGE_BASE:-$folder/base}
if [ ! -e "$base/.whole" ]; then
    echo "== debootstrap $SUITE"
    # What python:*-slim has and a bare Debian has not: Python, pip, `python`, certificates.
    unshare --mount debootstrap --variant=minbase \
        --include=ca-certificates,python3,python3-pip,python3-venv,python-is-python3 \
        "$SUITE" "$base" ${MIRROR:+"$MIRROR"} >"$folder/log" 2>&1 || { tail -n 30 "$folder/log" >&2; exit 1; }
    # As Docker's own images of Debian do: no package file outlives its installation.
    printf 'APT::Keep-Downloaded-Packages "false";\nDir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n' \
        >"$base/etc/apt/apt.conf.d/docker-clean"
    rm -rf "$base"/var/lib/apt/lists/* "$base"/var/cache/apt/*.bin "$base"/var/cache/apt/archives/*.deb
    touch "$base/.whole"
fi

unshare --mount --propagation private python3 scripts/image_check.py "$base" "$folder"
