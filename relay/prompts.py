"""The texts of PROMPTS_DIR, read once at start.

`system.md` may name {business_name}, {facts}, {services}, {caller} and {today}; they are filled in
for each call. Any other name in braces is a typing mistake and stops the start, since a caller
would hear it. Braces around anything but one lower-case word are left alone. What is filled in is
never looked at again, so that a fact with braces in it stays what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from relay.errors import ConfigError
from relay.ports import BusinessProfile

PLACEHOLDERS: Final = frozenset({"business_name", "facts", "services", "caller", "today"})
MAX_CHARS: Final = 40_000  # every session pays for each of them
_BRACES = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Prompts:
    """The texts. greeting: the words of the greeting, "" when there is no greeting.md."""

    system_text: str
    greeting: str = ""

    def system(self, profile: BusinessProfile, caller: str, today: datetime) -> str:
        """The instructions of one call. caller: E.164, or "". today: the business's own time."""
        values = {
            "business_name": profile.name,
            "facts": _facts(profile.facts),
            "services": _lines(f"{each.name}, {each.minutes} minutes" for each in profile.services),
            "caller": caller or "unknown, because it is withheld",
            "today": f"{today:%A}, {today.day} {today:%B %Y}, {today:%H:%M}",
        }
        return _BRACES.sub(lambda match: values[match[1]], self.system_text)


def load_prompts(folder: Path) -> Prompts:
    """Read a folder's prompts. Raises ConfigError, naming the file, when they cannot be used."""
    system = _read(folder / "system.md")
    unknown = sorted(set(_BRACES.findall(system)) - PLACEHOLDERS)
    if unknown:
        known = ", ".join(sorted(PLACEHOLDERS))
        raise ConfigError(
            f"{folder / 'system.md'}: unknown placeholder {', '.join(unknown)}; known are {known}"
        )
    greeting = folder / "greeting.md"
    return Prompts(system, _read(greeting) if greeting.exists() else "")


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"PROMPTS_DIR: {file} cannot be read: {error}") from None
    if not 0 < len(text) <= MAX_CHARS:
        raise ConfigError(f"PROMPTS_DIR: {file} has {len(text)} characters, not 1 to {MAX_CHARS}")
    return text


def _facts(facts: Mapping[str, str]) -> str:
    return _lines(f"{topic.replace('_', ' ')}: {fact}" for topic, fact in facts.items())


def _lines(items: Iterable[str]) -> str:
    """One item a line; "none" when there are none, since an empty heading invites invention."""
    return "\n".join(f"- {' '.join(item.split())}" for item in items) or "- none"
