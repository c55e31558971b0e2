"""The texts of PROMPTS_DIR, read once at start.

`system.md` may name {business_name}, {facts}, {services}, {caller} and {today}; they are filled in
for each call. Any other name in braces is a typing mistake and stops the start, since a caller
would hear it. Braces around anything but one lower-case word are left alone. What is filled in is
never looked at again, so that a fact with braces in it stays what it is.

`greeting.md` and `after_hours.md` are what callers hear first, during hours and outside of them.
They may name {business_name} and {notice}. The notice says that the caller speaks with an AI and
that the call is transcribed, and recorded where it is. A greeting must hold it, since nothing of a
call is kept before it was heard; its words are `notice.md`, or else ours. A caller who need not
hear it (core/consent.py) hears the same greeting with `notice_plain.md` in its place, or else
PLAIN: that this is an AI is always said.
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
GREETING_PLACEHOLDERS: Final = frozenset({"business_name", "notice"})
TRANSCRIBED: Final = "You are speaking with an AI assistant, and this call is transcribed."
RECORDED: Final = (
    "You are speaking with an AI assistant, and this call is recorded and transcribed."
)
PLAIN: Final = "You are speaking with an AI assistant."
MAX_CHARS: Final = 40_000  # every session pays for each of them
# What is longer, or comes after so much of them, is looked up when it is asked for.
MAX_FACT_CHARS: Final = 160
MAX_FACTS_CHARS: Final = 1_500
_BRACES = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Prompts:
    """The texts. greeting, after_hours: words for callers' ears; "" when there is no such file.

    notice, plain: what they say of the call to who must hear it, and to who need not
    """

    system_text: str
    greeting: str = ""
    after_hours: str = ""
    notice: str = TRANSCRIBED
    plain: str = PLAIN

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

    def greetings(self, profile: BusinessProfile, *, plain: bool = False) -> Mapping[str, str]:
        """What is said first, by the clip's name; without what there is no file of.

        plain: also without the notice, for who need not hear it
        """
        texts = {"greeting": self.greeting, "after_hours": self.after_hours}
        if plain:
            texts |= {f"{name}_plain": self._plain(text) for name, text in texts.items()}
        return {
            name: text.replace("{business_name}", profile.name)
            for name, text in texts.items()
            if text
        }

    def _plain(self, text: str) -> str:
        return re.sub(re.escape(self.notice), lambda _: self.plain, text, flags=re.IGNORECASE)

    def names_business(self) -> bool:
        """Whether a greeting cannot be said before the business has told its name."""
        return "{business_name}" in self.greeting + self.after_hours


def load_prompts(folder: Path, *, recorded: bool = False) -> Prompts:
    """Read a folder's prompts. Raises ConfigError, naming the file, when they cannot be used.

    recorded: calls are, so that the notice must say it
    """
    system = _read(folder / "system.md")
    _check_braces(folder / "system.md", system, PLACEHOLDERS)
    notice = _sentence(folder / "notice.md", RECORDED if recorded else TRANSCRIBED)
    plain = _sentence(folder / "notice_plain.md", PLAIN)
    greeting, after_hours = (
        _greeting(folder / f"{name}.md", notice) for name in ("greeting", "after_hours")
    )
    return Prompts(system, greeting, after_hours, notice, plain)


def _sentence(file: Path, ours: str) -> str:
    return _one_line(_read(file)) if file.exists() else ours


def _check_braces(file: Path, text: str, known: Iterable[str]) -> None:
    unknown = ", ".join(sorted(set(_BRACES.findall(text)) - set(known)))
    if unknown:
        names = ", ".join(sorted(known))
        raise ConfigError(f"{file}: unknown placeholder {unknown}; known are {names}")


def _greeting(file: Path, notice: str) -> str:
    """What is said first; "" when there is no such file. Raises ConfigError without the notice."""
    if not file.exists():
        return ""
    text = _read(file)
    _check_braces(file, text, GREETING_PLACEHOLDERS)
    text = _one_line(text.replace("{notice}", notice))
    if notice.casefold() not in text.casefold():
        raise ConfigError(
            f"{file}: does not hold the notice. Write {{notice}} where it shall be said, which is:"
            f" {notice} (to word it otherwise, write a notice.md)"
        )
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ConfigError(f"PROMPTS_DIR: {file} cannot be read: {why}") from None
    if not 0 < len(text) <= MAX_CHARS:
        raise ConfigError(f"PROMPTS_DIR: {file} has {len(text)} characters, not 1 to {MAX_CHARS}")
    return text


def _facts(facts: Mapping[str, str]) -> str:
    """The short facts as they are, and the topics of the others."""
    lines, left, spent = [], [], 0
    for name, fact in facts.items():
        topic = name.replace("_", " ")
        if len(fact) <= MAX_FACT_CHARS and spent + len(fact) <= MAX_FACTS_CHARS:
            spent += len(fact)
            lines.append(f"{topic}: {fact}")
        else:
            left.append(topic)
    if left:
        lines.append(f"ask answer_question about: {', '.join(left)}")
    return _lines(lines)


def _lines(items: Iterable[str]) -> str:
    """One item a line; "none" when there are none, since an empty heading invites invention."""
    return "\n".join(f"- {' '.join(item.split())}" for item in items) or "- none"
