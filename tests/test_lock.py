"""The lock files: everything in them, with hashes, and used where software is installed."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parents[1]
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
RUNS, BUILDS, DEV = "requirements.lock", "requirements-build.lock", "requirements-dev.lock"
WANTED = {
    RUNS: PROJECT["project"]["dependencies"],
    BUILDS: PROJECT["build-system"]["requires"],
    DEV: [need for extra in EXTRAS.values() for need in extra if not need.startswith("relay[")],
}
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def locked(name: str) -> dict[str, list[Requirement]]:
    """A lock's entries by name: one package may have several, for several Pythons."""
    found: dict[str, list[Requirement]] = {}
    for entry in entries(name):
        requirement = Requirement(entry.partition(" \\")[0])
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def entries(name: str) -> list[str]:
    text = re.sub(r"^ *#.*\n", "", (HERE / name).read_text(), flags=re.MULTILINE)
    return re.split(r"\n(?=\S)", text.strip())


@pytest.mark.parametrize("name", WANTED)
def test_what_the_project_needs_is_locked(name: str) -> None:
    """`make lock` when this fails."""
    lock = locked(name)
    for need in map(Requirement, WANTED[name]):
        versions = lock[canonicalize_name(need.name)]
        for entry in versions:
            (version,) = entry.specifier
            assert version.operator == "=="
            assert need.specifier.contains(version.version), need


@pytest.mark.parametrize("name", WANTED)
def test_every_entry_has_its_hashes_and_none_says_where_it_is_from(name: str) -> None:
    assert "://" not in (HERE / name).read_text()
    for entry in entries(name):
        assert HASH.search(entry), entry.splitlines()[0]
        assert "-e " not in entry


def test_what_runs_is_what_was_tested() -> None:
    tested = locked(DEV)
    for name in (RUNS, BUILDS):
        for package, versions in locked(name).items():
            if package in tested:
                assert {str(each.specifier) for each in versions} == {
                    str(each.specifier) for each in tested[package]
                }
    assert set(locked(RUNS)) <= set(tested)


def test_nothing_is_installed_but_by_its_hash() -> None:
    dockerfile = (HERE / "Dockerfile").read_text()
    installs = re.findall(r"pip\b.* install (.*)", dockerfile)
    assert len(installs) == 3
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-deps dist/relay-" in arguments
    assert "--no-build-isolation" in dockerfile
    setup = (HERE / "scripts" / "setup.sh").read_text()
    assert "install --require-hashes -r requirements-dev.lock" in setup
    sent = (HERE / ".dockerignore").read_text().splitlines()
    assert {f"!{RUNS}", f"!{BUILDS}"} <= set(sent)


@pytest.mark.parametrize(
    ("report", "code", "expected"),
    [
        ("No known vulnerabilities found", 0, 0),
        ("Found 2 known vulnerabilities in 1 package", 1, 1),
        ("ERROR: Dependency not found and could not be audited", 1, 3),
    ],
)
def test_an_audit_without_an_answer_is_no_all_clear(
    tmp_path: Path, report: str, code: int, expected: int
) -> None:
    for folder in ("scripts", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    script = tmp_path / "scripts" / "audit.sh"
    script.write_text((HERE / "scripts" / "audit.sh").read_text())
    for tool, text in (("python", "exit 0"), ("pip-audit", f"echo '{report}'; exit {code}")):
        file = tmp_path / ".venv" / "bin" / tool
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    done = subprocess.run(
        ["bash", str(script)], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == expected, done.stderr
    assert ("nothing is known" in done.stderr) is (expected == 3)
