"""What a REST request says, and how one is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from relay.errors import PortError
from relay.sim.twilio_verbs import Callback

Json: TypeAlias = dict[str, Any] | None

_E164 = re.compile(r"\+[1-9]\d{6,14}")


class RestError(PortError):
    """A request that is not carried out, with Twilio's own code."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.status, self.code, self.text = status, code, text

    def json(self) -> dict[str, object]:
        return {
            "code": self.code,
            "message": self.text,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }


@dataclass(frozen=True, slots=True)
class Fields:
    """A form whose names may come twice."""

    form: tuple[tuple[str, str], ...]

    def get(self, name: str, default: str = "") -> str:
        return next((value for found, value in self.form if found == name), default)

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a name; several may stand in one, too."""
        return tuple(word for found, value in self.form if found == name for word in value.split())

    def number(self, name: str, code: int) -> str:
        """A phone number. Raises RestError (the code given)."""
        value = self.get(name)
        if not _E164.fullmatch(value):
            raise RestError(400, code, f"{name} {value!r} is not a valid phone number")
        return value

    def url(self, name: str) -> str:
        """A URL, or nothing. Raises RestError (21205)."""
        value = self.get(name)
        if value and not value.startswith(("https://", "http://")):
            raise RestError(400, 21205, f"{name} {value!r} is not a valid URL")
        return value

    def seconds(self, name: str, default: int) -> int:
        value = self.get(name, str(default))
        if not value.isdecimal():
            raise RestError(400, 20001, f"{name} {value!r} is no number")
        return int(value)

    def word(self, name: str, default: str, words: tuple[str, ...]) -> str:
        value = self.get(name, default)
        if value not in words:
            raise RestError(400, 20001, f"{name} {value!r} is none of {', '.join(words)}")
        return value

    def callback(self, prefix: str) -> Callback:
        """Where events are told, "completed" alone if none are named."""
        events = self.all(prefix + "Event") or ("completed",)
        return Callback(self.url(prefix), self.get(prefix + "Method", "POST"), events)
