"""The half of `relay doctor` that asks others: the model, Twilio, the database, the business.

Every question has a deadline, all are asked side by side, and none costs more than a session that
is opened, configured and closed. The relay itself need not run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final

import httpx
import trio

from relay.about import About
from relay.adapters.store import SqlStore, open_store
from relay.adapters.twilio_account import TwilioAccount
from relay.config import Settings
from relay.core.policy import CallPolicy
from relay.doctor import Finding, database, fail, is_sqlite, ok, skip, warn
from relay.doctor_voice import look_at_voice
from relay.errors import ConfigError, PhoneControlError, certificate_fault
from relay.ports import Account, Number, NumberRoutes, PhoneAccount, Socket
from relay.shell.clip_studio import record
from relay.shell.kit import CallFacts
from relay.tools import registry
from relay.trust import authorities
from relay.wiring_business import open_business
from relay.wiring_clips import load_texts
from relay.wiring_model import dial_openai, session_settings

ASK_S: Final = 12.0
PUBLIC_S: Final = 5.0
# A token for a stream is good for 60 s; two machines that differ by half of that are in trouble.
SKEW_WARN_S: Final = 5.0
SKEW_FAIL_S: Final = 30.0

Dial = Callable[[CallFacts], AbstractAsyncContextManager[Socket]]
Check = Callable[[], Awaitable[list[Finding]]]


async def look_far(
    settings: Settings,
    *,
    account: PhoneAccount | None = None,
    dial: Dial | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> list[Finding]:
    """Ask everybody at once. What is given takes the place of the real ones."""
    async with _account(settings, account) as twilio:
        checks: list[tuple[str, Check]] = [
            ("database", partial(_database, settings)),
            ("business", partial(_business, settings)),
            ("model", partial(_model, settings, dial or partial(dial_openai, settings))),
            ("voice", partial(look_at_voice, settings)),
            ("twilio", partial(_twilio, settings, twilio)),
            ("address", partial(_address, settings, transport)),
        ]
        found: list[list[Finding]] = [[] for _ in checks]

        async def run(place: int, name: str, check: Check) -> None:
            with trio.move_on_after(ASK_S) as scope:
                found[place] = await check()
            if scope.cancelled_caught:
                found[place] = [fail(name, f"no answer within {ASK_S:g} s", "look at the network")]

        async with trio.open_nursery() as nursery:
            for place, (name, check) in enumerate(checks):
                nursery.start_soon(run, place, name, check)
    return [finding for findings in found for finding in findings]


@asynccontextmanager
async def _account(settings: Settings, given: PhoneAccount | None) -> AsyncIterator[PhoneAccount]:
    if given is not None:
        yield given
        return
    async with aclosing(open_account(settings)) as account:
        yield account


def open_account(settings: Settings) -> TwilioAccount:
    """Our account at Twilio. Close it with `aclose`."""
    return TwilioAccount(
        settings.twilio_account_sid,
        settings.twilio_auth_token.get_secret_value(),
        api_url=settings.twilio_api_url,
        tls=authorities(),
    )


async def _database(settings: Settings) -> list[Finding]:
    if is_sqlite(settings):
        return []  # that was looked at already
    return [await trio.to_thread.run_sync(database, settings, abandon_on_cancel=True)]


async def _business(settings: Settings) -> list[Finding]:
    if settings.business_api_base is None:
        return []
    async with _about(settings) as about:
        if not about.known:
            return [
                fail(
                    "business",
                    f"BUSINESS_API_BASE does not say who it is: {about.why}",
                    "docs/business-api.md has what it must answer",
                )
            ]
        return [ok("business", f"callers reach {about.profile.name}")]


@asynccontextmanager
async def _about(settings: Settings) -> AsyncIterator[About]:
    store: SqlStore = open_store(settings.database_url.get_secret_value())
    try:
        async with open_business(settings, store) as business:
            about = About(business)
            await about.ask()
            yield about
    finally:
        store.close()


# ---- the model ------------------------------------------------------------------------------


async def _model(settings: Settings, dial: Dial) -> list[Finding]:
    """Open a session as a call would have it, have it accepted, and close it."""
    try:
        prompts = load_texts(settings)
    except ConfigError:
        return [skip("model", "cannot be asked without prompts")]
    tools = registry(larger_model=settings.realtime_model_hard is not None)
    found = []
    async with _about(settings) as about:
        for name, hard in ((settings.realtime_model, False), (settings.realtime_model_hard, True)):
            if name is None:
                continue
            call = CallFacts("doctor", hard=hard)
            session = session_settings(
                call,
                settings=settings,
                prompts=prompts,
                about=about,
                tools=tools,
                policy=CallPolicy(),
            )
            took = await record(dial(call), session, [])
            found.append(_session(name, took.broken))
    return found


def _session(name: str, broken: str) -> Finding:
    if not broken:
        return ok("model", f"{name} accepts the session")
    return fail("model", f"{name} gives no session: {broken}", _mend_model(broken))


def _mend_model(broken: str) -> str:
    if "invalid_api_key" in broken or "HTTP 401" in broken or "3000" in broken:
        return "OPENAI_API_KEY is not valid: make a new one in OpenAI's project settings"
    if "quota" in broken or "billing" in broken or "spend_limit" in broken or "credit" in broken:
        return "OpenAI's billing and limits pages: credit, and the project's spending limit"
    if "HTTP 404" in broken or "model_not_found" in broken:
        return "REALTIME_MODEL must be a model that this project may use"
    if "HTTP 429" in broken or "rate_limit" in broken:
        return "wait a minute; if it stays so, the tier is too small"
    if "invalid_value" in broken or "unknown_parameter" in broken:
        return "a setting of the session is not taken: REALTIME_VOICE, VAD_…, NOISE_REDUCTION"
    return "look at the network from this machine to OPENAI_REALTIME_URL, and OpenAI's status page"


# ---- the telephone --------------------------------------------------------------------------


async def _twilio(settings: Settings, twilio: PhoneAccount) -> list[Finding]:
    try:
        found = [_credentials(await twilio.account())]
    except PhoneControlError as error:
        return [_refused(error)]
    found.append(_clock(twilio.clock_ahead_s))
    try:
        ours = await twilio.number(settings.twilio_phone_number)
        theirs = await twilio.number(settings.human_transfer_number)
    except PhoneControlError as error:
        return [*found, fail("number", str(error), "ask again; Twilio's status page")]
    if ours is None:
        mend = "TWILIO_PHONE_NUMBER must be a number of TWILIO_ACCOUNT_SID's account"
        return [*found, fail("number", "the account does not have the relay's number", mend)]
    found += _routes(settings, ours)
    if theirs is not None and theirs.routes.voice_url == wanted_routes(settings).voice_url:
        found.append(
            fail(
                "human",
                "HUMAN_TRANSFER_NUMBER leads back to this relay",
                "it must be a telephone that a person answers",
            )
        )
    return found


def _refused(error: PhoneControlError) -> Finding:
    if "HTTP 401" in str(error) or "HTTP 404" in str(error):
        mend = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN must be of one account (Account info)"
    else:
        mend = "look at the network from this machine, and Twilio's status page"
    return fail("twilio", f"the account cannot be read: {error}", mend)


def _credentials(account: Account) -> Finding:
    if account.status != "active":
        return fail("twilio", f"the account is {account.status}", "Twilio's console says why")
    if account.kind == "Trial":
        return warn(
            "twilio",
            "a trial account: verified numbers only, two calls at once, ten minutes each",
            "upgrade it (docs/deploy.md, step 2)",
        )
    return ok("twilio", "the account is active, and the token its own")


def _clock(ahead_s: float | None) -> Finding:
    if ahead_s is None:
        return skip("clock", "Twilio did not tell the time")
    says = f"this machine's clock is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
    mend = "keep it by NTP (timedatectl set-ntp true)"
    if abs(ahead_s) >= SKEW_FAIL_S:
        return fail("clock", says, mend)
    return warn("clock", says, mend) if abs(ahead_s) >= SKEW_WARN_S else ok("clock", "it is right")


def wanted_routes(settings: Settings, fallback_url: str = "") -> NumberRoutes:
    """Where a number's webhooks must lead for callers to reach this relay."""
    base = f"{settings.public_url}/twilio"
    return NumberRoutes(f"{base}/incoming", fallback_url, f"{base}/status")


def _routes(settings: Settings, number: Number) -> list[Finding]:
    routes, wanted, mend = number.routes, wanted_routes(settings), "`relay number --yes` sets it"
    found = []
    if routes.application:
        found.append(
            fail(
                "number",
                "a TwiML application or a SIP trunk takes the calls, not the webhook",
                "remove it at the number's voice configuration",
            )
        )
    for what, is_, must in (
        ("a call comes in", routes.voice_url, wanted.voice_url),
        ("call status changes", routes.status_url, wanted.status_url),
    ):
        if is_ != must:
            found.append(fail("number", f"“{what}” leads to {is_ or 'nobody'}, not {must}", mend))
    if number.methods:
        found.append(fail("number", f"a webhook is asked by {', '.join(number.methods)}", mend))
    if not routes.fallback_url:
        found.append(
            fail(
                "number",
                "“primary handler fails” leads to nobody: with this server down, callers hear an"
                " error and are cut off",
                "make a TwiML Bin (docs/deploy.md, step 3), then `relay number --fallback URL`",
            )
        )
    elif routes.fallback_url.startswith(settings.public_url):
        found.append(
            warn(
                "number",
                "“primary handler fails” leads to this server, which is what failed",
                "make a TwiML Bin (docs/deploy.md, step 3), then `relay number --fallback URL`",
            )
        )
    return found or [ok("number", "its webhooks lead here, and its fallback elsewhere")]


# ---- our own address ------------------------------------------------------------------------


async def _address(settings: Settings, transport: httpx.AsyncBaseTransport | None) -> list[Finding]:
    """Whether somebody answers at PUBLIC_URL. It need not be running yet."""
    url = f"{settings.public_url}/healthz"
    async with httpx.AsyncClient(
        timeout=PUBLIC_S, transport=transport, trust_env=False, verify=authorities()
    ) as client:
        try:
            answer = await client.get(url)
        except httpx.HTTPError as error:
            if untrusted := certificate_fault(error):
                return [
                    fail(
                        "address",
                        f"PUBLIC_URL's certificate is refused, by Twilio as well: {untrusted}",
                        "renew it where TLS ends, at the proxy or tunnel",
                    )
                ]
            says = f"nobody answers at PUBLIC_URL: {type(error).__name__}"
            return [warn("address", says, "start the relay, and look at its proxy or tunnel")]
    if answer.status_code != 200:
        says = f"PUBLIC_URL/healthz says {answer.status_code}"
        return [warn("address", says, "PUBLIC_URL must lead to this relay, with nothing before it")]
    return [ok("address", f"a relay answers at PUBLIC_URL ({datetime.now(UTC):%H:%M} UTC)")]
