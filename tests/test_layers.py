"""The floors of the house, enforced: imports point down only (ARCHITECTURE.md).

Every module of relay/ is parsed, never imported. `faults` names what a source file does that its
place forbids; it is tried on bad samples first, so that it cannot pass by seeing nothing.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "relay"
FILES = sorted(path.relative_to(ROOT) for path in PACKAGE.rglob("*.py"))
MODULES = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in FILES}

FLOORS = {
    "audio": 0,
    "websocket": 0,
    "core": 1,
    "wire": 2,
    "ports": 2,
    "tools": 2,
    "shell": 3,
    "adapters": 3,
    "sim": 3,
}
TOP = 4  # web, door, server, wiring, cli and whatever else stands beside them
ANYWHERE = {"relay", "relay.errors"}

# What a room may see of the package beside itself. Rooms that are not named see all floors below.
SIGHT = {
    "audio": set(),
    "websocket": {"relay.audio"},
    "core": {"relay.audio.frames"},
    "adapters": {"relay.ports"},
    "sim": {"relay.ports", "relay.audio"},
    "errors": set(),
}
# Outside packages that a room must do without.
ABSENT = {
    "core": None,  # None: everything but the standard library
    "wire": {"trio", "trio_websocket", "quart", "quart_trio", "hypercorn", "httpx", "asyncio"},
    "tools": {"trio", "httpx", "sqlalchemy", "asyncio"},
    "audio": {"trio", "asyncio"},
    "websocket": {"trio", "asyncio", "trio_websocket"},
}
# In these rooms the modules are siblings that do not know each other.
SIBLINGS = {"wire", "adapters", "tools"}

BROAD = {"relay/door.py", "relay/shell/session.py", "relay/shell/tool_runner.py"}
ENVIRONMENT = {"relay/config.py"}


# ---- the rules ------------------------------------------------------------------------------


def faults(path: Path, source: str) -> list[str]:
    """What the file at this path does that its place forbids, one line each."""
    tree = ast.parse(source)
    found = [
        f"{path}:{line}: {why}"
        for line, module in _imports(tree)
        if (why := _forbidden(path, module))
    ]
    return found + [f"{path}:{line}: {why}" for line, why in _habits(tree, path.as_posix())]


def _forbidden(path: Path, module: str) -> str | None:
    room, name = _room(path), module.partition(".")[0]
    if name != "relay":
        if _within(module, "trio.testing"):
            return "trio.testing imports pytest where it is installed: 0.1 s of every start"
        return _outside(room, name)
    if module in ANYWHERE or room == "__init__":
        return None
    target = module.split(".")[1]
    if target == room:
        return _sibling(path, room, module)
    if _floor(target) > _floor(room):
        return f"{room} imports {module}, a floor above"
    if room in SIGHT and not any(_within(module, seen) for seen in SIGHT[room]):
        return f"{room} imports {module}, which it must not see"
    return None


def _outside(room: str, name: str) -> str | None:
    if room not in ABSENT or name in sys.stdlib_module_names | {"__future__"}:
        blocked = room in ABSENT and ABSENT[room] is not None and name in ABSENT[room]
        return f"{room} imports {name}" if blocked else None
    absent = ABSENT[room]
    return f"{room} imports {name}" if absent is None or name in absent else None


def _sibling(path: Path, room: str, module: str) -> str | None:
    if room not in SIBLINGS or len(path.parts) < 3 or path.name == "__init__.py":
        return None
    ours, theirs = _family(path.parts[2]), _family(module.split(".")[2])
    if ours == theirs or (room == "tools" and not _is_tool(theirs)):
        return None
    return f"{ours} imports its sibling {module}"


def _family(name: str) -> str:
    """A module and its parts: store, store_tables and store_records are one."""
    stem = name.removesuffix(".py")
    head = stem.partition("_")[0]
    return head if head in {"store", "business"} else stem


def _is_tool(name: str) -> bool:
    file = PACKAGE / "tools" / f"{name}.py"
    return file.exists() and "\nTOOL = " in file.read_text(encoding="utf-8")


def _habits(tree: ast.Module, path: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.ExceptHandler(type=None):
                yield node.lineno, "a bare except"
            case ast.ExceptHandler() if _broad(node) and path not in BROAD:
                yield node.lineno, "a broad except outside the three places"
            case ast.ImportFrom() if node.level:
                yield node.lineno, "a relative import, which hides where it leads"
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "getenv" | "environb"):
                if path not in ENVIRONMENT:
                    yield node.lineno, "reads the environment"


def _broad(handler: ast.ExceptHandler) -> bool:
    """Catches everything, and not only to clean up and raise it again."""
    names = _names(handler.type)
    last = handler.body[-1]
    passes_on = isinstance(last, ast.Raise) and last.exc is None
    return "Exception" in names or ("BaseException" in names and not passes_on)


def _names(kind: ast.expr | None) -> set[str]:
    return {each.id for each in ast.walk(kind) if isinstance(each, ast.Name)} if kind else set()


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(level=0, module=str(module), names=names):
                for alias in names:
                    whole = f"{module}.{alias.name}"
                    yield node.lineno, whole if whole in MODULES else module


def _room(path: Path) -> str:
    return path.parts[1].removesuffix(".py")


def _floor(room: str) -> int:
    return FLOORS.get(room, TOP)


def _within(module: str, seen: str) -> bool:
    return module == seen or module.startswith(f"{seen}.")


# ---- the rules are tried --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("relay/core/x.py", "import trio"),
        ("relay/core/x.py", "import structlog"),
        ("relay/core/x.py", "from relay.audio import level_db"),
        ("relay/core/x.py", "from relay.wire import twilio"),
        ("relay/core/x.py", "from relay.ports import Socket"),
        ("relay/audio/x.py", "from relay.core import events"),
        ("relay/audio/x.py", "from relay.websocket import Link"),
        ("relay/websocket/x.py", "from relay.ports import Socket"),
        ("relay/websocket/x.py", "import trio"),
        ("relay/wire/x.py", "import trio"),
        ("relay/wire/x.py", "from trio import sleep"),
        ("relay/wire/x.py", "from relay.shell import session"),
        ("relay/wire/twiml.py", "from relay.wire import signature"),
        ("relay/wire/twiml.py", "from relay.wire.realtime import parse"),
        ("relay/ports.py", "from relay.adapters import store"),
        ("relay/tools/lookup_hours.py", "from relay.tools import end_call"),
        ("relay/tools/lookup_hours.py", "from relay.tools.book_appointment import run"),
        ("relay/tools/lookup_hours.py", "import httpx"),
        ("relay/adapters/x.py", "from relay.core import events"),
        ("relay/adapters/x.py", "from relay.shell.session import run_call"),
        ("relay/adapters/x.py", "from relay.wire import ticket"),
        ("relay/adapters/x.py", "from relay.config import Settings"),
        ("relay/adapters/business_local.py", "from relay.adapters import store"),
        ("relay/shell/x.py", "from relay.web import twilio"),
        ("relay/shell/x.py", "import relay.config"),
        ("relay/sim/x.py", "from relay.wire import twilio"),
        ("relay/sim/x.py", "import relay.wire.signature"),
        ("relay/sim/x.py", "from relay.shell import sockets"),
        ("relay/sim/x.py", "from relay.core import events"),
        ("relay/sim/x.py", "def f():\n    from relay.wire import ticket"),
        ("relay/errors.py", "from relay import ports"),
        ("relay/web/x.py", "import os\nos.environ['PORT']"),
        ("relay/web/x.py", "import os\nos.getenv('PORT')"),
        ("relay/web/x.py", "try:\n    f()\nexcept Exception:\n    pass"),
        ("relay/web/x.py", "try:\n    f()\nexcept (ValueError, Exception):\n    pass"),
        ("relay/web/x.py", "try:\n    f()\nexcept* Exception:\n    pass"),
        ("relay/web/x.py", "try:\n    f()\nexcept BaseException:\n    pass"),
        ("relay/web/x.py", "try:\n    f()\nexcept:\n    raise"),
        ("relay/core/x.py", "from . import events\nfrom ..wire import twilio"),
        ("relay/shell/x.py", "from trio.testing import wait_all_tasks_blocked"),
    ],
)
def test_a_bad_sample_is_seen(path: str, source: str) -> None:
    assert faults(Path(path), source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("relay/core/x.py", "import re\nfrom relay.audio.frames import silence"),
        ("relay/core/x.py", "from relay.audio import frames\nfrom relay.core import events"),
        ("relay/wire/x.py", "import msgspec\nfrom relay.core import events"),
        ("relay/wire/realtime/x.py", "from relay.wire.realtime import writing"),
        ("relay/tools/lookup_hours.py", "from relay.tools import days, tool"),
        ("relay/tools/__init__.py", "from relay.tools import end_call"),
        ("relay/adapters/store.py", "from relay.adapters import store_tables"),
        ("relay/shell/x.py", "from relay.wire import twilio\nfrom relay.core import call"),
        ("relay/sim/x.py", "from relay.audio import decode_ulaw\nfrom relay.ports import Socket"),
        ("relay/wiring.py", "from relay.adapters import store\nfrom relay.config import Settings"),
        ("relay/config.py", "import os\nos.environ"),
        ("relay/door.py", "try:\n    f()\nexcept* Exception:\n    pass"),
        ("relay/web/x.py", "try:\n    f()\nexcept ValueError:\n    pass"),
        ("relay/web/x.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise"),
    ],
)
def test_a_good_sample_passes(path: str, source: str) -> None:
    assert faults(Path(path), source) == []


# ---- the house ------------------------------------------------------------------------------


def test_the_whole_house_is_looked_at() -> None:
    assert {f"relay.{room}" for room in FLOORS} <= MODULES
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_module_keeps_to_its_floor(path: Path) -> None:
    assert faults(path, (ROOT / path).read_text(encoding="utf-8")) == []
