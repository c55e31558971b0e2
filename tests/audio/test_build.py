"""What somebody sees whose machine lacks a library that the C core is built on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "native" / "build.py"


def build(folder: Path, pkg_config: str) -> str:
    """What a build that fails says."""
    done = subprocess.run(
        [sys.executable, str(BUILD)],
        cwd=folder,
        env={**os.environ, "PKG_CONFIG": pkg_config},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("pkg_config", ["false", "no-such-program"])
def test_a_missing_libsoxr_is_named_for_each_system(pkg_config: str, tmp_path: Path) -> None:
    told = build(tmp_path, pkg_config)
    assert "apt-get install libsoxr-dev" in told
    assert "brew install libsoxr" in told


def test_so_is_a_missing_openssl(tmp_path: Path) -> None:
    only_soxr = tmp_path / "pkg-config"
    only_soxr.write_text("#!/bin/sh\ntest $2 = soxr\n")
    only_soxr.chmod(0o755)
    told = build(tmp_path, str(only_soxr))
    assert "apt-get install libssl-dev" in told
    assert "brew install openssl@3" in told
