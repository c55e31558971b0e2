"""What a function of the agent is: a name, a schema, an effect, and code to run.

The schema that the model reads and the check that its arguments go through come from one msgspec
Struct, so they cannot disagree:

    class Args(Arguments):              # its docstring is the function's description
        day: Annotated[str, msgspec.Meta(description="…")]

    async def run(args: Args, ports: ToolPorts) -> ToolResult: ...

    TOOL = tool("lookup_hours", Args, effect="read", run=run)

effect says who acts. "read" may run at once and twice. "write" changes the world: it runs once
per idempotency key. "call" acts on the call itself, so the core carries it out and there is no
code here: `acted_by_core` makes one.

Arguments are the model's text and not trusted. Whatever is wrong with them becomes BadArguments,
whose message is written for the model: what was wrong, and what the arguments are.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from relay.errors import RelayError
from relay.ports import BusinessApi, HumanDesk, RecordingDesk

Effect: TypeAlias = Literal["read", "write", "call"]

# The longest argument text that is looked at. Real ones stay under 300 bytes.
MAX_ARGUMENTS_BYTES = 4096

# What a model is told must stay small: it pays for every token of it, in time and money.
MAX_OUTPUT_BYTES = 2048


class BadArguments(RelayError):  # noqa: N818 - it is what the arguments are
    """The model's arguments do not fit. The text tells the model how to mend its call."""


class Arguments(msgspec.Struct, forbid_unknown_fields=True):
    """Base of every tool's arguments: an unknown field is an error, not noise."""


class _NothingRecorded:
    """The RecordingDesk of a function that runs outside of its call."""

    async def pause(self) -> bool:
        return True

    def resume(self) -> None:
        """Nothing was paused."""

    async def refuse(self) -> None:
        """There is nothing to refuse."""


NOTHING_RECORDED: Final = _NothingRecorded()


@dataclass(frozen=True, slots=True)
class ToolPorts:
    """What a tool may touch, and on whose behalf.

    caller: the number that the phone network gave; never the model's word for it
    key: the idempotency key of this very request
    """

    business: BusinessApi
    caller: str
    call_sid: str
    key: str
    human: HumanDesk
    recording: RecordingDesk = NOTHING_RECORDED


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a function.

    output: what the model is told
    outcome: what it means for the call ("booked"), or ""; of a write also: it is done, and a repeat
        gets this answer. Without one nothing was changed, and a repeat asks again
    notice: one line for the business's owner ("Ann Lee booked a cleaning, …"), or ""; personal
    refused: why nobody is rung (ports.HumanDesk), or ""
    """

    output: dict[str, Any]
    outcome: str = ""
    notice: str = ""
    refused: str = ""

    def text(self) -> str:
        """The output as compact JSON, at most MAX_OUTPUT_BYTES of UTF-8."""
        return msgspec.json.encode(self.output).decode()


@dataclass(frozen=True, slots=True)
class Tool:
    """One function that the model may call.

    parameters: JSON schema, self-contained
    invoke: (arguments as JSON text, ports) -> result; None when effect is "call".
        Raises BadArguments, and whatever the ports raise.
    lasting: what it writes outlives the call, so it happens once per key, whatever breaks
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    effect: Effect
    invoke: Callable[[str, ToolPorts], Awaitable[ToolResult]] | None
    lasting: bool = False


A = TypeVar("A", bound=Arguments)


def tool(
    name: str,
    arguments: type[A],
    *,
    effect: Literal["read", "write"],
    run: Callable[[A, ToolPorts], Awaitable[ToolResult]],
    lasting: bool | None = None,
) -> Tool:
    """Make a tool whose code is `run`, called with arguments that were checked.

    lasting: whether what it does outlives the call; None: as every write does
    """
    parameters = schema(arguments)
    decoder = msgspec.json.Decoder(arguments)

    async def invoke(arguments_json: str, ports: ToolPorts) -> ToolResult:
        try:
            args = decoder.decode(_bounded(arguments_json))
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise BadArguments(_advice(name, parameters, str(error))) from error
        return await run(args, ports)

    kept = effect == "write" if lasting is None else lasting
    return Tool(name, _description(arguments), parameters, effect, invoke, kept)


def acted_by_core(name: str, arguments: type[Arguments]) -> Tool:
    """Make a tool that the core carries out: schema only."""
    return Tool(name, _description(arguments), schema(arguments), "call", None)


def schema(arguments: type[Arguments]) -> dict[str, Any]:
    """The JSON schema of arguments, without `$ref` and titles, as the Realtime API wants it."""
    whole = msgspec.json.schema(arguments)
    found: dict[str, Any] = whole["$defs"][arguments.__name__]
    return {
        "type": "object",
        "properties": found["properties"],
        "required": found.get("required", []),
        "additionalProperties": False,
    }


def clip(text: str, limit: int) -> str:
    """Text of others, fit for a model: printable, on one line, at most `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def fitting(output: dict[str, Any], name: str) -> dict[str, Any]:
    """The output without as many of `output[name]`'s last as make it too long for the model."""
    items = list(output[name])
    while items and len(msgspec.json.encode({**output, name: items})) > MAX_OUTPUT_BYTES:
        items.pop()
    return {**output, name: items}


# ---- the idempotency key --------------------------------------------------------------------


def idempotency_key(call_sid: str, name: str, arguments_json: str) -> str:
    """The name of a write: the same call, tool and arguments always give the same key.

    How the JSON is spelled does not matter: key order, white space, escapes, 1 or 1.0 or 1e0.
    ASCII, at most 64 + 1 + len(name) characters. Raises BadArguments when there is no JSON.
    """
    try:
        value = json.loads(
            _bounded(arguments_json),
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_no_constant,
        )
        text = _canonical(value)
    except (ValueError, RecursionError) as error:
        raise BadArguments(f"The arguments of {name} are not JSON: {error}") from error
    digest = hashlib.sha256(json.dumps([call_sid, name, text]).encode()).hexdigest()
    return f"{name}-{digest}"


class _Number(str):
    """A number as it was spelled, so that no digit of it is lost."""

    __slots__ = ()


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _canonical(value: Any) -> str:
    match value:
        case _Number():
            return _number(value)
        case dict():
            pairs = sorted((json.dumps(key), _canonical(item)) for key, item in value.items())
            return "{" + ",".join(f"{key}:{item}" for key, item in pairs) + "}"
        case list():
            return "[" + ",".join(map(_canonical, value)) + "]"
        case _:
            return json.dumps(value)


def _number(spelled: str) -> str:
    """One spelling for every number: digits without outer zeros, and a power of ten."""
    mantissa, _, power = spelled.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return "0"
    exponent = int(power or 0) - len(fraction) + len(digits) - len(significant)
    sign = "-" if mantissa.startswith("-") else ""
    return f"{sign}{significant}e{exponent}"


# ---- words for the model --------------------------------------------------------------------


def _bounded(arguments_json: str) -> str:
    if len(arguments_json) > MAX_ARGUMENTS_BYTES:
        raise BadArguments(f"The arguments are too long: keep them under {MAX_ARGUMENTS_BYTES}.")
    return arguments_json


def _advice(name: str, parameters: Mapping[str, Any], fault: str) -> str:
    wanted = "; ".join(
        f"{field} ({about.get('description', about.get('type', ''))}{_choices(about)})"
        for field, about in parameters["properties"].items()
    )
    return f"{name} was not run. {clip(fault, 200)}. Call it again with a JSON object of: {wanted}."


def _choices(about: Mapping[str, Any]) -> str:
    """What a field may be, where only a few words will do."""
    return f"; one of: {clip(', '.join(about['enum']), 200)}" if "enum" in about else ""


def _description(arguments: type[Arguments]) -> str:
    return inspect.cleandoc(arguments.__doc__ or "").replace("\n", " ")
