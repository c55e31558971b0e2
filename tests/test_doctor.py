"""What can be seen of a machine without asking anybody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay import config
from relay.doctor import Level, look_here, works
from tests.databases import migrated
from tests.test_config import ENVIRON

PROMPTS = Path(__file__).parents[1] / "prompts"


def look(folder: Path, **changes: str) -> dict[str, list[tuple[str, str]]]:
    """Findings as (level, text) by check, on a machine that is in order but for the changes."""
    environ = {
        **ENVIRON,
        "PROMPTS_DIR": str(PROMPTS),
        "DATABASE_URL": f"sqlite:///{folder}/relay.db",
        "MAX_CALLS": "2",
        "MAX_CALL_USD": "2",
        "MAX_DAY_USD": "50",
        "NOTIFY_SMS_TO": "+14155550177",
        "REALTIME_TOKENS_PER_MINUTE": "200000",
        **changes,
    }
    faults, settings = config.examine({k: v for k, v in environ.items() if v})
    found: dict[str, list[tuple[str, str]]] = {}
    for finding in look_here(faults, settings):
        assert finding.mend or finding.level in {Level.OK, Level.SKIP}, "and how is it mended?"
        found.setdefault(finding.check, []).append((finding.level.value, finding.says))
    return found


def levels(found: dict[str, list[tuple[str, str]]]) -> dict[str, set[str]]:
    return {check: {level for level, _ in says} for check, says in found.items()}


def test_a_machine_in_order_has_nothing_wrong(tmp_path: Path) -> None:
    found = levels(look(tmp_path))
    assert found.pop("business") == {"warn"}, "the packaged example is nobody's business"
    assert set.union(*found.values()) == {"ok"}
    assert not (tmp_path / "relay.db").exists(), "looking makes nothing"


def test_every_fault_of_the_settings_is_a_finding_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    found = look(tmp_path, OPENAI_API_KEY="", PUBLIC_URL="http://x", PORT="eighty")
    assert [says.split()[0] for _, says in found["settings"]] == [
        "PUBLIC_URL",
        "OPENAI_API_KEY",
        "PORT",
    ]
    assert levels(found)["settings"] == {"fail"}
    assert levels(found)["prompts"] == {"ok"}


def test_a_transfer_to_the_relay_itself_is_named(tmp_path: Path) -> None:
    found = look(tmp_path, HUMAN_TRANSFER_NUMBER=ENVIRON["TWILIO_PHONE_NUMBER"])
    assert "the same" in found["settings"][0][1]
    assert levels(found)["prompts"] == {"ok"}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"VOICE_PROVIDER": "elevenlabs"}, "VOICE_PROVIDER, ELEVENLABS_API_KEY"),
        (
            {"TRANSFER_NUMBERS": f"billing={ENVIRON['TWILIO_PHONE_NUMBER']}"},
            "TRANSFER_NUMBERS, TWILIO_PHONE_NUMBER",
        ),
        ({"CONSENT_POLICY": "states", "BUSINESS_STATE": "Texas"}, "BUSINESS_STATE in"),
        ({"NOTIFY_URL": "https://shop.example.com", "PORT": "eighty"}, "PORT in"),
    ],
)
def test_settings_that_do_not_fit_together_are_named_and_the_rest_is_looked_at(
    tmp_path: Path, changes: dict[str, str], names: str
) -> None:
    environ = {**ENVIRON, "PROMPTS_DIR": str(PROMPTS), "SPOOL_DIR": str(tmp_path), **changes}
    findings = list(look_here(*config.examine(environ)))
    assert findings[0].mend.startswith(f"set {names}")
    assert {each.check for each in findings} >= {"prompts", "clips", "spool"}


def test_a_clean_checkout_without_any_setting_is_looked_at(tmp_path: Path) -> None:
    faults, settings = config.examine({})
    findings = list(look_here(faults, settings))
    assert len([each for each in findings if each.check == "settings"]) == len(ENVIRON)
    assert {each.check for each in findings} >= {"prompts", "clips", "database", "spool"}
    assert not works(findings)


def test_what_stands_in_for_missing_settings_reaches_nobody() -> None:
    _, settings = config.examine({})
    assert settings is not None
    assert settings.public_url.endswith(".invalid")
    assert set(config.STAND_INS) == set(ENVIRON)


def test_a_fault_in_the_file_is_left_out_and_the_rest_of_the_file_is_not(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=eighty\nREALTIME_VOICE=cedar\n")
    faults, settings = config.examine(ENVIRON, file)
    assert [fault.split()[0] for fault in faults] == ["PORT"]
    assert settings is not None
    assert (settings.port, settings.realtime_voice) == (8080, "cedar")


def test_an_old_database_a_whole_one_and_a_broken_one(tmp_path: Path) -> None:
    migrated(tmp_path / "relay.db")
    assert look(tmp_path)["database"] == [("ok", "it answers, and its tables are of this version")]
    (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
    found = look(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/broken.db")
    assert levels(found)["database"] == {"fail"}
    found = look(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/no/relay.db")
    assert levels(found)["database"] == {"fail"}


@pytest.mark.parametrize("locked", ["relay.db", ""])
def test_a_database_that_only_another_user_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: str
) -> None:
    """Asked of the system's own answer: whoever runs the tests may be allowed everything."""
    migrated(tmp_path / "relay.db")
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path / locked)
    assert levels(look(tmp_path))["database"] == {"fail"}


@pytest.mark.parametrize(
    ("changes", "check", "level", "words"),
    [
        ({"PROMPTS_DIR": "/no/such/folder"}, "prompts", "fail", "system.md"),
        ({"BUSINESS_FILE": "/no/such/file"}, "business", "fail", "/no/such/file"),
        ({"MAX_CALLS": ""}, "caps", "warn", "MAX_CALLS is unset"),
        ({"MAX_DAY_USD": ""}, "caps", "warn", "no cap on money"),
        ({"MAX_CALLS_PER_NUMBER": "0"}, "caps", "warn", "every line"),
        ({"REALTIME_TOKENS_PER_MINUTE": ""}, "tier", "warn", "not known"),
        ({"MAX_CALLS": "40"}, "tier", "warn", "calls at once"),
        ({"CONSENT_POLICY": "states", "BUSINESS_STATE": "CA"}, "consent", "warn", "consent in CA"),
        ({"CONSENT_POLICY": "states", "BUSINESS_STATE": "TX"}, "consent", "ok", "seen from TX"),
        ({"RECORD_CALLS": "twilio"}, "consent", "ok", "are recorded and"),
        ({"RECORD_CALLS": "off"}, "consent", "ok", "not recorded"),
        ({"RECORD_CALLS": "twilio", "RETENTION_DAYS": "0"}, "consent", "warn", "for ever"),
        ({"PROMPTS_DIR": "/no/such/folder"}, "consent", "skip", "without prompts"),
        ({"SPOOL_DIR": f"{__file__}/spool"}, "spool", "fail", "no folder to write in"),
        ({"FLIGHT_DIR": __file__}, "recordings", "fail", "no folder to write in"),
        ({"NOTIFY_SMS_TO": ""}, "notices", "warn", "nobody is told"),
        ({"LANGUAGES": "en,fr,de"}, "emergency", "warn", "packaged for fr, de"),
        ({"LANGUAGES": "fr", "EMERGENCY_PHRASES": ";"}, "emergency", "warn", "not watched"),
        ({"LANGUAGES": "fr", "EMERGENCY_PHRASES": "au secours"}, "emergency", "ok", "1 phrases"),
        ({"BUSINESS_FILE": "/no/such/file"}, "business", "fail", "BUSINESS_FILE /no"),
        ({"PRICES_FILE": "/no/such/file"}, "prices", "fail", "cannot be read"),
        ({"REALTIME_MODEL": "unheard-of"}, "prices", "fail", "could not be held"),
    ],
)
def test_what_is_doubtful_or_wrong_is_said(
    tmp_path: Path, changes: dict[str, str], check: str, level: str, words: str
) -> None:
    found = look(tmp_path, **changes)
    assert any(is_ == level and words in says for is_, says in found[check]), found[check]


def test_a_name_that_is_no_setting_s_is_said_with_the_one_that_was_meant(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("MAX_DAYS_USD=20\nmax_call_s=60\nSHOE_SIZE=44\nPORT=8080\n")
    environ = {"NOTIFY_SMS_TOO": "+1", "LANGUAGE": "en", "HOSTNAME": "x", "max_calls": "2"}
    names = config.strange(environ, file)
    assert names == {
        "MAX_DAYS_USD": "MAX_DAY_USD",
        "max_calls": "MAX_CALLS",
        "SHOE_SIZE": "",
        "NOTIFY_SMS_TOO": "NOTIFY_SMS_TO",
    }
    faults, settings = config.examine(ENVIRON)
    told = [each for each in look_here(faults, settings, names) if each.level is Level.WARN]
    assert [each.mend for each in told if each.says.startswith("MAX_DAYS_USD is no setting")] == [
        "write MAX_DAY_USD"
    ]
    assert works(look_here(faults, settings, {"SHOE_SIZE": ""})) is works(
        look_here(faults, settings)
    )


def test_a_long_prompt_is_paid_for_at_every_turn(tmp_path: Path) -> None:
    (tmp_path / "system.md").write_text("word " * 4000)
    found = look(tmp_path, PROMPTS_DIR=str(tmp_path))
    assert any(level == "warn" and "19999" in says for level, says in found["prompts"])
    # and leaves room for fewer calls
    assert found["tier"][0][1] != look(tmp_path)["tier"][0][1]


@pytest.mark.parametrize(
    ("record", "notice", "level", "words"),
    [
        ("twilio", "An AI speaks, and writes down what is said.", "warn", "does not say so"),
        ("off", "An AI speaks, and this call is recorded.", "warn", "they are not"),
        ("twilio", "An AI speaks, and this call is recorded.", "ok", "every caller is told"),
        ("off", "An AI speaks, and writes down what is said.", "ok", "every caller is told"),
    ],
)
def test_a_notice_of_ones_own_must_be_true(
    tmp_path: Path, record: str, notice: str, level: str, words: str
) -> None:
    (tmp_path / "system.md").write_text("You answer.")
    (tmp_path / "notice.md").write_text(notice)
    found = look(tmp_path, PROMPTS_DIR=str(tmp_path), RECORD_CALLS=record)
    ((is_, says),) = found["consent"]
    assert is_ == level
    assert words in says
