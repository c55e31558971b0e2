"""docs/functions.md shows how to add a function; what it shows works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from relay.tools import ToolPorts

DOC = Path(__file__).parents[2] / "docs" / "functions.md"


@pytest.fixture
def shown() -> dict[str, Any]:
    """The names that the page's two blocks of Python define."""
    blocks = re.findall(r"^```python\n(.*?)^```", DOC.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    namespace: dict[str, Any] = {"__name__": __name__}
    for block in blocks:
        exec(compile(block, str(DOC), "exec"), namespace)  # noqa: S102 - our own page
    return namespace


async def test_the_function_on_the_page_passes_the_tests_on_the_page(
    shown: dict[str, Any], ports: ToolPorts, business: Any
) -> None:
    await shown["test_it_is_noon_on_a_sunday"](ports)
    await shown["test_it_is_noon_on_a_monday"](ports, business)


def test_the_model_would_read_its_docstring(shown: dict[str, Any]) -> None:
    tool = shown["TOOL"]
    assert tool.description == "Say whether the business is open right now, and until when."
    assert tool.parameters == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
