"""bench/codec.py runs and finds what does not depend on the machine: delays, gaps and ghosts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_measures_all_four(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "bench/codec.py", "--rounds", "1", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=True,
    )
    rows = json.loads((tmp_path / "codec.json").read_text())["rows"]
    ours, audioop, vhq, vr = rows
    for wait in (ours["up_wait"], ours["down_wait"]):
        assert wait == {"delay_ms": 5.0, "gap_ms": 20}
    assert vhq["up_wait"]["delay_ms"] > 100
    assert vr["up_wait"]["delay_ms"] > 20
    assert max(ours["image_db"], ours["alias_db"]) == -90.0
    assert min(audioop["image_db"], audioop["alias_db"]) > -20
    assert "<circle" in (tmp_path / "codec.svg").read_text()
