"""The Quart-Trio application: four blueprints, small limits, and error pages without a word."""

from __future__ import annotations

from typing import Final, cast

from quart import Response
from quart.wrappers.base import BaseRequestWebsocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from relay.exchange import App
from relay.web import health, humans, recordings, twilio
from relay.web.bounded import Bounded
from relay.web.desk import FrontDesk
from relay.web.express import Express

MAX_BODY_BYTES: Final = 64 * 1024  # Twilio's forms have one or two KiB
BODY_TIMEOUT_S: Final = 5


class _App(QuartTrio):
    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Find pages by path and method. A request's Host is its sender's to write: it leads
        nowhere, and one that cannot be a host raises where nobody would answer for it."""
        if request is None:
            return None
        return self.url_map.bind("relay", path_info=request.path, default_method=request.method)


def create_app(desk: FrontDesk, probe: health.Probe) -> QuartTrio:
    """An app that needs no start and no stop: the door serves it without a lifespan."""
    app = _App("relay", static_folder=None)  # there are no files to be served
    app.url_map.merge_slashes = False  # else //healthz is redirected
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["BODY_TIMEOUT"] = BODY_TIMEOUT_S
    app.register_blueprint(twilio.blueprint(desk))
    app.register_blueprint(humans.blueprint(desk))
    app.register_blueprint(recordings.blueprint(desk))
    app.register_blueprint(health.blueprint(desk.board, probe))

    @app.errorhandler(HTTPException)
    async def nothing_more(error: HTTPException) -> Response:
        """A stranger learns the status and nothing else."""
        return Response("", error.code or 500, headers=_allow(error))

    # Around the app's own ASGI, as its makers have it: whoever serves the app gets both.
    behind = Bounded(cast("App", app.asgi_app), max_bytes=MAX_BODY_BYTES)  # in Hypercorn's types
    express = Express(behind, desk, max_bytes=MAX_BODY_BYTES)
    app.asgi_app = express  # type: ignore[method-assign, assignment]
    return app


def _allow(error: HTTPException) -> dict[str, str]:
    methods = getattr(error, "valid_methods", None)
    return {"Allow": ", ".join(sorted(methods))} if methods else {}
