"""docs/functions.md shows how to add a function; what it shows works."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from relay.tools import ToolPorts, registry

DOC = Path(__file__).parents[2] / "docs" / "functions.md"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page's two blocks of Python define, as one module."""
    blocks = re.findall(r"^```python\n(.*?)^```", DOC.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    module = ModuleType("shown_in_functions_md")
    # Where msgspec looks for what the annotations name.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks:
        exec(compile(block, str(DOC), "exec"), vars(module))  # noqa: S102 - our own page
    return vars(module)


async def test_the_function_on_the_page_passes_the_tests_on_the_page(
    shown: dict[str, Any], ports: ToolPorts
) -> None:
    tests = [value for name, value in shown.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        await test(ports)


def test_the_model_would_read_its_docstring(shown: dict[str, Any]) -> None:
    tool = shown["TOOL"]
    assert tool.description == "Look up how many minutes a service takes."
    assert tool.parameters["required"] == ["service"]


def test_the_page_names_every_function_and_its_effect() -> None:
    rows = re.findall(r"^\| (`.*?`) \| (read|write|call) \|", DOC.read_text(), re.MULTILINE)
    told = {name: effect for names, effect in rows for name in re.findall(r"`(\w+)`", names)}
    assert told == {name: tool.effect for name, tool in registry(larger_model=True).items()}
