"""A disk that is really full soon, for who may mount one."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

TINY_BYTES = 200 * 1024


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that takes some 200 KiB.

    Root gets a tmpfs of that size. Others, and roots of containers that may not mount, get a
    limit on each file's size: the same short write, then an error, from the same kernel.
    """
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={TINY_BYTES}", "tmpfs", tmp_path],
            capture_output=True,
            check=False,
        ).returncode
    )
    if mounted:
        yield tmp_path
        subprocess.run(["umount", tmp_path], check=True)
        return
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (TINY_BYTES, limits[1]))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)
