"""A Dockerfile and its .dockerignore, read: as much of both languages as ours are written in.

`image_check.py` walks through the steps, and a test holds them to what we promise. What is not
understood is an error: a step that was passed over would prove nothing.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KNOWN = (
    *("ARG", "CMD", "COPY", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "STOPSIGNAL"),
    *("USER", "VOLUME", "WORKDIR"),
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its name in capitals, and the rest with its lines joined."""

    name: str
    rest: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands between one FROM and the next. base: the image's name, variables filled in."""

    base: str
    name: str
    steps: tuple[Step, ...]

    def last(self, name: str) -> str:
        """The rest of the last such instruction. Raises KeyError when there is none."""
        for step in reversed(self.steps):
            if step.name == name:
                return step.rest
        raise KeyError(name)


def stages(text: str, arguments: Mapping[str, str] | None = None) -> list[Stage]:
    """Take a Dockerfile apart. arguments: what --build-arg would say.

    Raises ValueError at an instruction that is not understood.
    """
    variables: dict[str, str] = {}
    found: list[Stage] = []
    for step in _steps(text):
        if step.name == "ARG" and not found:
            name, _, default = step.rest.partition("=")
            variables[name] = (arguments or {}).get(name, default)
        elif step.name == "FROM":
            base, _, name = filled(step.rest, variables).partition(" AS ")
            found.append(Stage(base, name, ()))
        elif found:
            found[-1] = Stage(found[-1].base, found[-1].name, (*found[-1].steps, step))
        else:
            raise ValueError(f"{step.name} stands before the first FROM")
    return found


def _steps(text: str) -> Iterator[Step]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        if name not in KNOWN:
            raise ValueError(f"not understood: {line}")
        yield Step(name, " ".join(rest.split()) if name != "RUN" else rest.strip())


def filled(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in. Raises KeyError for one that is not set."""
    return _VARIABLE.sub(lambda match: variables[match[1] or match[2]], text)


def environment(rest: str, before: Mapping[str, str]) -> dict[str, str]:
    """The variables after an ENV."""
    pairs = (word.partition("=") for word in shlex.split(filled(rest, before)))
    return {**before, **{name: value for name, _, value in pairs}}


def words(rest: str) -> list[str]:
    """The words of a CMD, or of a HEALTHCHECK's, in the exec form. Raises ValueError for another.

    The shell form puts a shell in front of the process, and it keeps signals to itself.
    """
    _, _, form = rest.rpartition("CMD ") if "CMD " in rest else ("", "", rest)
    try:
        argv = json.loads(form)
    except json.JSONDecodeError:
        raise ValueError(f"not in the exec form: {form}") from None
    if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
        raise ValueError(f"not in the exec form: {form}")
    return argv


# ---- the context ----------------------------------------------------------------------------


def patterns(text: str) -> list[tuple[bool, re.Pattern[str]]]:
    """A .dockerignore's lines: whether a match is kept, and what matches."""
    lines = (line.strip() for line in text.splitlines())
    return [
        (line.startswith("!"), _pattern(line.removeprefix("!")))
        for line in lines
        if line and not line.startswith("#")
    ]


def _pattern(glob: str) -> re.Pattern[str]:
    """A pattern matches a path, or a folder above it."""
    escaped = re.escape(glob.strip("/")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.compile(rf"{escaped}(?:/.*)?")


def sent(path: str, rules: Sequence[tuple[bool, re.Pattern[str]]]) -> bool:
    """Whether a file, relative to the folder, goes into the build: the last match decides."""
    kept = [keep for keep, pattern in rules if pattern.fullmatch(path)]
    return kept[-1] if kept else True


def context(folder: Path, source: str) -> Iterable[Path]:
    """The files, relative to folder, that COPY finds under a name."""
    rules = patterns((folder / ".dockerignore").read_text())
    start = folder / source
    files = [start] if start.is_file() else sorted(each for each in start.rglob("*"))
    for file in files:
        name = file.relative_to(folder)
        if file.is_file() and sent(name.as_posix(), rules):
            yield name
