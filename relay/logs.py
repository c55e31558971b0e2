"""How the process logs: one JSON object a line, or coloured text on a terminal.

Events are static text, values are fields; a call's SID is bound to every line of its tasks, and
personal values stand only under keys that begin with `pii.`, where all but a number's last two
digits is hidden unless `LOG_PII=on`. Lines of the libraries (trio, quart, alembic) take the
same way out. Tracebacks never show local variables: those hold what callers say.

`relay serve` logs into a LogPipe, which no reader can hold up. What strangers can bring about is
told through a Seldom: they shall not say how much is logged.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal, Protocol

import structlog
import trio
from structlog.typing import EventDict, Processor, WrappedLogger

Form = Literal["json", "console"]

PERSONAL = "pii."
SELDOM_S = 10.0  # a few lines a minute for each kind, however many come


class Sink(Protocol):
    """Where lines go: a text stream, as much as logging needs of one."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...


def set_up_logs(
    level: str, sink: Sink | None = None, form: Form | None = None, *, pii: bool = False
) -> None:
    """Log to a stream, stdout unless given, from this level on.

    form: as a terminal reads it or as a machine does, by what the stream is unless given
    pii: show what stands under `pii.` keys
    """
    sink = sink or sys.stdout
    form = form or ("console" if sink.isatty() else "json")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if pii else [_hidden]),
    ]
    handler = logging.StreamHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(form),
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Theirs at DEBUG would print what callers say.
    for chatty in ("trio-websocket", "httpx", "httpcore", "hypercorn", "sqlalchemy", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class Seldom:
    """Tells of the first of a kind, and then once in SELDOM_S. The kinds must be few."""

    def __init__(self) -> None:
        self._untold: dict[str, int] = {}
        self._next: dict[str, float] = {}

    def due(self, kind: str) -> int:
        """How many there were since the last line, with this one; 0: no line now."""
        self._untold[kind] = self._untold.get(kind, 0) + 1
        now = trio.current_time()
        if now < self._next.get(kind, now):
            return 0
        self._next[kind] = now + SELDOM_S
        return self._untold.pop(kind)


def masked(value: object) -> str:
    """What may be shown of a personal value: a number's last two digits, of words their length."""
    text = str(value)
    if text.startswith("+") and text[1:].isdigit():
        return f"…{text[-2:]}"
    return f"({len(text)} characters)" if text else ""


def _hidden(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    for key, value in line.items():
        if key.startswith(PERSONAL):
            line[key] = masked(value)
    return line


def _renderers(form: Form) -> list[Processor]:
    if form == "console":
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
