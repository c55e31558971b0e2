"""What somebody sees whose machine lacks libsoxr."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "native" / "build.py"


@pytest.mark.parametrize("pkg_config", ["false", "no-such-program"])
def test_a_missing_libsoxr_is_named_for_each_system(pkg_config: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(BUILD)],
        cwd=tmp_path,
        env={**os.environ, "PKG_CONFIG": pkg_config},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "apt-get install libsoxr-dev" in done.stderr
    assert "brew install libsoxr" in done.stderr
    assert "Traceback" not in done.stderr
