"""A call's notes: what its core found worth saying, for log, metrics and the model's watch."""

from __future__ import annotations

import structlog

from relay.shell.kit import CallKit

log = structlog.get_logger("relay.call")


class Notes:
    """Of one call. Once a kind at a level that is seen; the rest only when looking closely.

    A detail may quote a peer, so it counts as personal.
    """

    def __init__(self, kit: CallKit) -> None:
        self._meter, self._model_watch = kit.meter, kit.model_watch
        self._noted: set[tuple[str, str]] = set()

    def note(self, kind: str, detail: str) -> None:
        self._meter.noted(kind, detail)
        why = detail.partition(":")[0]
        first = (kind, why) not in self._noted
        self._noted.add((kind, why))
        if kind == "fault":
            self._model_watch.fault(detail)
            log.warning("fault", fault=detail)
        elif kind == "voice_lost":
            log.warning("second voice lost", why=why, **{"pii.detail": detail})
        elif first and kind.endswith("_misbehaved"):
            log.warning("note", kind=kind, **{"pii.detail": detail})
        else:
            log.debug("note", kind=kind, **{"pii.detail": detail})
