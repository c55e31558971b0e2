"""Names and numbers as a model writes them, and how a caller is named to the business's owner."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from relay.ports import is_number
from relay.tools.tool import BadArguments, ToolPorts, clip

Name: TypeAlias = Annotated[
    str, msgspec.Meta(description="the caller's own name", min_length=1, max_length=80)
]
CallBack: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        description="another number to be called at, in digits; only when the caller gives one",
        max_length=30,
    ),
]

# More digits than that in a name, and it is a number.
MAX_DIGITS_IN_NAME = 4


def read_name(text: str) -> str:
    """A person's name on one line. Raises BadArguments for a number, or for nothing."""
    name = clip(text, 80)
    digits = sum(character.isdigit() for character in name)
    if digits > MAX_DIGITS_IN_NAME or not any(character.isalpha() for character in name):
        raise BadArguments("name must be the caller's name. Ask the caller for it.")
    return name


def read_call_back(text: str) -> str:
    """A telephone number's digits, with its plus; "" for none. Raises BadArguments.

    It is where to call, and nothing else: it proves nobody's identity.
    """
    digits = "".join(character for character in text if character in "0123456789")
    if not text.strip():
        return ""
    if any(character.isalpha() for character in text) or not 7 <= len(digits) <= 15:
        raise BadArguments(
            f"call_back is no telephone number: {clip(text, 30)!r}. Write its 7 to 15 digits, or"
            " leave it out to have the number called that this call comes from."
        )
    return f"+{digits}" if text.strip().startswith("+") else digits


def named(name: str, ports: ToolPorts) -> str:
    """Who it is, for the owner: a name and the line's own number."""
    number = ports.caller if is_number(ports.caller) else "number withheld"
    return f"{name or 'Somebody'} ({number})"
