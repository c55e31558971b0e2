"""`relay doctor`: what is wrong, and how to mend it, before a caller finds out.

A check gives findings, never an exception. This half looks at this machine alone and works in a
clean checkout without any setting; doctor_far.py asks the others. Nothing is changed: no table is
made, nothing is dialled, and no session with the model is given anything to say.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from relay.adapters.business_file import load_business
from relay.adapters.store import lag
from relay.config import Settings, named
from relay.core.consent import ALL_PARTY
from relay.core.emergency import PHRASES
from relay.errors import ConfigError, StoreError
from relay.prices import load_prices
from relay.prompts import Prompts
from relay.tools import registry
from relay.wiring_clips import load_clips, load_texts
from relay.wiring_money import call_prices

CHARS_A_TOKEN: Final = 4  # of English, roughly
LONG_PROMPT_CHARS: Final = 12_000
# What a turn is about, beside the instructions and functions: the conversation up to there.
TALK_TOKENS: Final = 2_000
TURNS_A_MINUTE: Final = 3
_RECORDS = re.compile(r"\brecord", re.IGNORECASE)


class Level(Enum):
    """How bad it is: only FAIL keeps a relay from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw. mend: what to do about it, "" when there is nothing to do."""

    check: str
    level: Level
    says: str
    mend: str = ""


def ok(check: str, says: str) -> Finding:
    return Finding(check, Level.OK, says)


def warn(check: str, says: str, mend: str) -> Finding:
    return Finding(check, Level.WARN, says, mend)


def fail(check: str, says: str, mend: str) -> Finding:
    return Finding(check, Level.FAIL, says, mend)


def skip(check: str, says: str) -> Finding:
    return Finding(check, Level.SKIP, says)


# ---- this machine ---------------------------------------------------------------------------


def look_here(
    faults: Iterable[str], settings: Settings | None, strange: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Everything that needs neither network nor key.

    settings: with stand-ins, if need be; strange: what `config.strange` says
    """
    yield from _settings(list(faults))
    yield from _strange(strange or {})
    if settings is None:
        yield skip("the rest", "cannot be looked at before the settings are mended")
        return
    yield from _prompts(settings)
    yield from _business(settings)
    yield _clips()
    if is_sqlite(settings):
        yield database(settings)
    yield _folder("spool", "SPOOL_DIR", settings.spool_folder)
    if settings.flight_dir is not None:
        yield _folder("recordings", "FLIGHT_DIR", settings.flight_dir)
    yield from _consent(settings)
    yield _emergency(settings)
    yield _notices(settings)
    yield from _caps(settings)
    yield _prices(settings)


def _settings(faults: list[str]) -> Iterator[Finding]:
    if not faults:
        yield ok("settings", "all that are needed are there and well-formed")
    for fault in faults:
        names = ", ".join(named(fault))
        where = f"set {names} in the environment or in .env" if names else "correct the file"
        yield fail("settings", fault, f"{where} (.env.example)")


def _strange(names: Mapping[str, str]) -> Iterator[Finding]:
    for name, likely in sorted(names.items()):
        mend = f"write {likely}" if likely else "docs/settings.md has all names; else ignore this"
        yield warn("settings", f"{name} is no setting of the relay's, and does nothing", mend)


def _prompts(settings: Settings) -> Iterator[Finding]:
    try:
        prompts = load_texts(settings)
    except ConfigError as error:
        yield fail("prompts", str(error), "PROMPTS_DIR must lead to a folder with system.md")
        return
    chars = len(prompts.system_text)
    about = f"system.md has {chars} characters, about {chars // CHARS_A_TOKEN} tokens a turn"
    if chars > LONG_PROMPT_CHARS:
        yield warn("prompts", about, "make it shorter: every turn of every call pays for it")
    else:
        yield ok("prompts", about)
    for name, text in (("greeting", prompts.greeting), ("after_hours", prompts.after_hours)):
        if not text:
            yield warn("prompts", f"there is no {name}.md", "the packaged words serve; write it")


def _business(settings: Settings) -> Iterator[Finding]:
    if settings.business_api_base is not None:
        return
    try:
        business = load_business(settings.business_file)
    except ConfigError as error:
        yield fail(
            "business", str(error), "relay/adapters/business.toml shows the form of the file"
        )
        return
    if settings.business_file == Settings.model_fields["business_file"].default:
        yield warn(
            "business",
            f"callers reach {business.profile.name}, the packaged example",
            "set BUSINESS_FILE to a file of your own, or BUSINESS_API_BASE",
        )
    else:
        yield ok("business", f"callers reach {business.profile.name}")


def _clips() -> Finding:
    try:
        clips = load_clips()
    except ConfigError as error:
        return fail("clips", str(error), "install the relay anew")
    return ok("clips", f"{len(clips)} packaged clips serve until the model has recorded its own")


def is_sqlite(settings: Settings) -> bool:
    return settings.database_url.get_secret_value().startswith("sqlite")


def database(settings: Settings) -> Finding:
    """The database and its tables. Blocks."""
    url = settings.database_url.get_secret_value()
    file = Path(urlsplit(url).path.removeprefix("/")) if is_sqlite(settings) else None
    if file is not None and not file.absolute().parent.is_dir():
        return fail("database", f"there is no folder {file.parent}", "make it, or DATABASE_URL")
    if file is not None:
        fine = f"{file} will be made at the start"
        folder = _folder("database", "DATABASE_URL", file.parent, fine)
        if folder.level is Level.FAIL or not file.exists():  # its log lies beside it
            return folder
        if not os.access(file, os.W_OK):
            says = f"{file} cannot be written by this user"
            return fail("database", says, "let the relay's user, or DATABASE_URL")
    try:
        missing = lag(url)
    except (ConfigError, StoreError) as error:
        return fail("database", str(error), "DATABASE_URL must lead to a database of this relay's")
    if missing is None:
        return ok("database", "it answers; the tables will be made at the start")
    if missing:
        return warn(
            "database", f"{missing} migrations are missing", "`relay db upgrade`, or just start it"
        )
    return ok("database", "it answers, and its tables are of this version")


def _folder(check: str, setting: str, folder: Path, fine: str = "") -> Finding:
    """A folder that is there, or can be made, and written."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return ok(check, fine or f"{folder} can be written")
    return fail(check, f"{there} is no folder to write in", f"let the relay's user, or {setting}")


def _consent(settings: Settings) -> Iterator[Finding]:
    """Whether callers are told what is done with their call, in words that are true of it."""
    recorded, state = settings.record_calls != "off", settings.business_state
    try:
        notice = load_texts(settings).notice
    except ConfigError:
        yield skip("consent", "cannot be looked at without prompts")
        return
    what = "recorded and transcribed" if recorded else "transcribed, not recorded"
    if recorded and not _RECORDS.search(notice):
        yield warn(
            "consent",
            "calls are recorded, and the notice does not say so",
            "say it in notice.md, or RECORD_CALLS=off (docs/consent.md)",
        )
    elif not recorded and _RECORDS.search(notice):
        yield warn(
            "consent",
            "the notice says that calls are recorded, and they are not",
            "say in notice.md what is true, or RECORD_CALLS=twilio",
        )
    elif settings.consent_policy == "always":
        yield ok("consent", f"calls are {what}, and every caller is told")
    if settings.consent_policy == "states" and state in ALL_PARTY:
        yield warn(
            "consent",
            f"everybody must consent in {state}: CONSENT_POLICY=states spares no caller the notice",
            "CONSENT_POLICY=always says what happens; mend BUSINESS_STATE if it is another",
        )
    elif settings.consent_policy == "states":
        yield ok("consent", f"calls are {what}; told is who may have to be, seen from {state}")
    if recorded and not settings.retention_days:
        yield warn(
            "consent",
            "recordings are kept at Twilio for ever",
            "RETENTION_DAYS, after which they are deleted there",
        )


def _emergency(settings: Settings) -> Finding:
    """Whether the caller's words are watched for an emergency, in all that callers speak."""
    if not settings.alarms:
        says = "the caller's words are not watched for emergencies: the model alone decides"
        return warn("emergency", says, "EMERGENCY_PHRASES (docs/transfer.md)")
    if settings.emergency_phrases is None and (
        unwatched := [each for each in settings.languages if each not in PHRASES]
    ):
        return warn(
            "emergency",
            f"nothing is packaged for {', '.join(unwatched)}: there the model alone decides",
            "EMERGENCY_PHRASES and REFUSAL_PHRASES, in all LANGUAGES (docs/transfer.md)",
        )
    return ok("emergency", f"{len(settings.alarms)} phrases bring the emergency line")


def _notices(settings: Settings) -> Finding:
    told = [name for name in ("notify_url", "notify_sms_to") if getattr(settings, name)]
    if told:
        return ok("notices", f"bookings and messages are told to {' and '.join(told).upper()}")
    return warn(
        "notices",
        "nobody is told of bookings, messages and voicemails: they wait in the database",
        "NOTIFY_SMS_TO or NOTIFY_URL (docs/notifications.md)",
    )


def _caps(settings: Settings) -> Iterator[Finding]:
    if settings.max_calls is None:
        yield warn(
            "caps",
            "MAX_CALLS is unset: a flood of calls is answered until the machine is full",
            "set it to what the machine and the model's tier carry",
        )
    if settings.max_day_usd is None or settings.max_call_usd is None:
        yield warn(
            "caps",
            "no cap on money: MAX_CALL_USD or MAX_DAY_USD is unset",
            "set both, and a monthly limit in OpenAI's project settings",
        )
    if not settings.max_calls_per_number or not settings.max_calls_per_number_hour:
        yield warn(
            "caps",
            "a single number may take every line",
            "MAX_CALLS_PER_NUMBER and MAX_CALLS_PER_NUMBER_HOUR, not 0",
        )
    yield _tier(settings)


def _prices(settings: Settings) -> Finding:
    try:
        table = load_prices(settings.prices_file)
        call_prices(settings, table)
    except ConfigError as error:
        return fail("prices", str(error), "correct a copy of relay/prices.toml, and PRICES_FILE")
    return ok("prices", f"what a call costs is reckoned by prices of {table.as_of}")


def _tier(settings: Settings) -> Finding:
    tier = settings.realtime_tokens_per_minute
    if tier is None:
        return warn(
            "tier",
            "it is not known how many tokens a minute the OpenAI project may use",
            "REALTIME_TOKENS_PER_MINUTE, from the limits page of OpenAI's settings",
        )
    try:
        turn = tokens_a_turn(load_texts(settings), settings)
    except ConfigError:
        return skip("tier", "cannot be compared without prompts")
    calls = tier // (turn * TURNS_A_MINUTE)
    says = f"{tier} tokens a minute carry about {calls} calls at once, at {turn} a turn"
    if settings.max_calls is None or settings.max_calls > calls:
        return warn("tier", says, f"MAX_CALLS={max(calls, 1)}, a higher tier, or a shorter prompt")
    return ok("tier", says)


def tokens_a_turn(prompts: Prompts, settings: Settings) -> int:
    """About how many tokens the model reads at a turn in the middle of a call."""
    tools = registry(larger_model=settings.realtime_model_hard is not None)
    schemas = (json.dumps([tool.description, tool.parameters]) for tool in tools.values())
    chars = len(prompts.system_text) + sum(len(schema) for schema in schemas)
    return chars // CHARS_A_TOKEN + TALK_TOKENS


def works(findings: Iterable[Finding]) -> bool:
    """Whether nothing keeps the relay from working."""
    return all(finding.level is not Level.FAIL for finding in findings)
