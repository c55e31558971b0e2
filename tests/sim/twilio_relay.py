"""A tiny relay for the tests of the simulated Twilio: pages of TwiML, and a stream's other end."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import httpx
import trio

from relay.errors import SocketClosed
from relay.sim.twilio_call import Number
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_net import Answer, InProcess, sign
from relay.sim.twilio_rest import RestTransport, open_rest

TOKEN = "12345"
ACCOUNT = "AC" + "1" * 32
ORIGIN = "https://relay.example.com"
NUMBER = Number("+15125550100", f"{ORIGIN}/voice", f"{ORIGIN}/number-fallback", f"{ORIGIN}/status")
CALLER = "+14155550123"
HUMAN = "+15125550199"
STREAM = '<Connect action="/after"><Stream url="wss://relay.example.com/stream/t1"/></Connect>'
API = f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}"


async def stay(socket):
    """Serve a stream by listening to its end."""
    with suppress(SocketClosed):
        while True:
            await socket.receive()


class Relay:
    """Answers each path with the TwiML given for it. pages: text, an Answer, an exception, or a
    function of the form. heard: every message of every stream."""

    def __init__(self, pages=None):
        self.pages = {"/voice": STREAM, "/after": "<Hangup/>", "/status": ""} | (pages or {})
        self.asked = []
        self.heard = []

    async def app(self, method, url, form, headers):
        assert headers["X-Twilio-Signature"] == sign(TOKEN, url, form)
        path = urlsplit(url).path
        self.asked.append((trio.current_time(), path, dict(form)))
        await trio.sleep(0.05)
        page = self.pages.get(path, "")
        if callable(page):
            page = page(dict(form))
        if isinstance(page, Exception):
            raise page
        if isinstance(page, Answer):
            return page
        return Answer(200, "text/xml", f"<Response>{page}</Response>")

    def accept(self, url, headers):
        assert headers["x-twilio-signature"] == sign(TOKEN, url)
        return self.serve

    async def serve(self, socket):
        with suppress(SocketClosed):
            while True:
                self.heard.append(json.loads(await socket.receive()))

    def paths(self):
        return [path for _, path, _ in self.asked]

    def forms(self, path):
        return [form for _, asked, form in self.asked if asked == path]

    def values(self, path, name):
        """What one parameter was in each request of a path."""
        return [form.get(name) for form in self.forms(path)]

    def when(self, path):
        return next(at for at, asked, _ in self.asked if asked == path)


class Twilio:
    """A cloud with its REST API, and an HTTP client for it."""

    def __init__(self, cloud, rest, client):
        self.cloud, self.rest, self.client = cloud, rest, client

    async def post(self, path, **form):
        return await self.client.post(f"{API}/{path}.json", data=form)

    async def get(self, path, **query):
        return await self.client.get(f"{API}/{path}.json", params=query)

    async def ring(self, **form):
        """Place a call to the human. Returns it."""
        given = {"To": HUMAN, "From": NUMBER.number, "Url": f"{ORIGIN}/screen"}
        answer = await self.post("Calls", **(given | form))
        assert answer.status_code == 201, answer.text
        return self.cloud.calls[answer.json()["sid"]]


@asynccontextmanager
async def open_twilio(relay, *, phones=None, latency_s=0.0, **settings):
    network = InProcess(relay.app, relay.accept)
    cloud = TwilioCloud(ACCOUNT, TOKEN, network, phones=phones or {}, **settings)
    async with open_rest(cloud, latency_s=latency_s) as rest:
        transport = RestTransport(rest)
        async with httpx.AsyncClient(transport=transport, auth=(ACCOUNT, TOKEN)) as client:
            yield Twilio(cloud, rest, client)
