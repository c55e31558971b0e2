"""docs/reliability.md names every threat and every fault, and no test that there is not."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOC = ROOT / "docs" / "reliability.md"
ROWS = {"T": 25, "W": 8, "S": 16, "R": 5, "O": 21, "B": 10, "D": 13, "P": 20}
CELLS = 6
ROW = re.compile(r"^\| ([A-Z]\d+) \|.*\|$", re.MULTILINE)
NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> dict[str, list[str]]:
    """The cells of each row, by its id; a row that is there twice is a mistake."""
    found: dict[str, list[str]] = {}
    for match in ROW.finditer(DOC.read_text(encoding="utf-8")):
        assert match[1] not in found, match[1]
        found[match[1]] = [cell.strip() for cell in match[0].strip("|").split(" | ")]
    return found


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


def test_every_row_of_the_catalogue_is_there_and_whole() -> None:
    wanted = {f"{kind}{n}" for kind, count in ROWS.items() for n in range(1, count + 1)}
    found = rows()
    assert set(found) == wanted
    for name, cells in found.items():
        assert len(cells) == CELLS, name
        assert all(cells), name


def test_every_named_test_exists_and_every_row_has_one_or_says_why_not() -> None:
    proven = 0
    for name, cells in rows().items():
        nodes = NODE.findall(cells[-1])
        for file, test in nodes:
            assert test in names_in(file), f"{name}: {file}::{test}"
        proven += bool(nodes)
        assert nodes or cells[-1].startswith("not tested: "), name
        assert cells[-1].count("::") == len(nodes), f"{name}: a name that is none"
    total = sum(ROWS.values())
    print(f"{proven} of {total} rows are proven by tests")  # noqa: T201 - shown with -s
    assert proven >= total - 3, "what only a platform can show"
