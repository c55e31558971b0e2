"""The throw-away server that the other tests stand on."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import psycopg
import pytest


def test_the_newest_server_is_taken(
    postgres: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    for version in ("9.6", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "initdb").touch()
    (tmp_path / "9.6" / "bin" / "postgres").touch()
    (tmp_path / "15" / "bin" / "postgres").touch()
    assert postgres.binaries(tmp_path) == tmp_path / "15" / "bin"


def test_without_a_server_the_tests_say_which_package_is_missing(
    postgres: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LookupError, match="apt-get install postgresql"):
        postgres.binaries(tmp_path)


def test_it_listens_on_no_network(postgres_home: Path) -> None:
    with psycopg.connect(host=str(postgres_home), user="postgres", dbname="postgres") as link:
        row = link.execute("SHOW listen_addresses").fetchone()
    assert row == ("",)
