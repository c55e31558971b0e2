import re
from pathlib import Path

import pydantic
import pytest

from relay.config import BusinessSettings, Settings, examine, load, named, strange
from relay.errors import ConfigError

ROOT = Path(__file__).parents[1]
ENVIRON = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "a-very-secret-token",
    "TWILIO_PHONE_NUMBER": "+14155550100",
    "HUMAN_TRANSFER_NUMBER": "+14155550199",
    "PUBLIC_URL": "https://relay.example.com",
    "OPENAI_API_KEY": "sk-a-very-secret-key",
}


def fault(**changes: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load({**ENVIRON, **changes})
    return str(caught.value)


def test_required_settings_are_enough_and_the_rest_has_the_documented_defaults() -> None:
    settings = load(ENVIRON)
    assert settings.realtime_model == "gpt-realtime-2.1-mini"
    assert settings.openai_realtime_url == "wss://api.openai.com/v1/realtime"
    assert settings.twilio_api_url == "https://api.twilio.com"
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)  # noqa: S104
    assert settings.database_url.get_secret_value() == "sqlite:///relay.db"
    assert settings.business_api_base is None
    assert settings.prompts_dir == Path("prompts")
    assert settings.business_file.name == "business.toml"
    assert settings.realtime_audio_format == "pcm"
    assert (settings.greeting, settings.clips) == ("clip", "model")
    assert (settings.vad_threshold, settings.vad_silence_ms) == (0.5, 500)
    assert settings.noise_reduction is None
    assert (settings.max_calls, settings.max_call_s, settings.drain_s) == (None, 600, 270)
    assert settings.log_level == "INFO"


def test_one_message_names_every_missing_variable_and_what_it_is_for() -> None:
    with pytest.raises(ConfigError) as caught:
        load({})
    lines = str(caught.value).splitlines()[1:]
    assert {line.split()[0] for line in lines} == set(ENVIRON)
    for line in lines:
        name, purpose = re.fullmatch(r"  ([A-Z_]+) is missing: (.+)", line).groups()
        assert purpose == Settings.model_fields[name.lower()].description


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("PUBLIC_URL", "relay.example.com", "must begin with https://"),
        ("OPENAI_REALTIME_URL", "localhost:9000", "must begin with wss://"),
        ("LOG_LEVEL", "loud", "must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("MAX_CALLS", "0", "must be greater than or equal to 1"),
        ("TWILIO_ACCOUNT_SID", "SK1", "must match pattern '^AC[0-9a-fA-F]{32}$'"),
    ],
)
def test_a_fault_says_what_a_value_must_be(name: str, value: str, why: str) -> None:
    assert f"{name} is malformed ({why}): " in fault(**{name: value})


def test_missing_and_malformed_are_reported_together() -> None:
    text = fault(PORT="eighty", PUBLIC_URL="relay.example.com", OPENAI_API_KEY="")
    assert len(text.splitlines()) == 4
    assert "PORT is malformed" in text
    assert "PUBLIC_URL is malformed" in text
    assert "OPENAI_API_KEY is missing" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "http://relay.example.com"),
        ("PUBLIC_URL", "https://relay.example.com?x=1"),
        ("PUBLIC_URL", "https://relay.example.com/?"),
        ("PUBLIC_URL", "https://relay.example.com/#top"),
        ("PUBLIC_URL", "https://user:word@relay.example.com"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://relay.example.com:0"),
        ("PUBLIC_URL", "https://relay.example.com:99999"),
        ("PUBLIC_URL", "ftp://relay.example.com"),
        ("PUBLIC_URL", "https://[::1"),
        ("TWILIO_PHONE_NUMBER", "4155550100"),
        ("TWILIO_PHONE_NUMBER", "+1 415 555 0100"),
        ("TWILIO_PHONE_NUMBER", "+04155550100"),
        ("TWILIO_PHONE_NUMBER", "+١٤١٥٥٥٥٠١٠٠"),
        ("HUMAN_TRANSFER_NUMBER", "reception"),
        ("TWILIO_ACCOUNT_SID", "SK" + "0" * 32),
        ("TWILIO_AUTH_TOKEN", "two words"),
        ("OPENAI_API_KEY", "sk-line\nbreak"),
        ("OPENAI_REALTIME_URL", "https://api.openai.com/v1/realtime"),
        ("OPENAI_REALTIME_URL", "ws://api.openai.com/v1/realtime"),
        ("TWILIO_API_URL", "http://api.twilio.com"),
        ("BUSINESS_API_BASE", "file:///etc/passwd"),
        ("PUBLIC_URL", "https://shop.example.com/twilio/incoming"),
        ("NOTIFY_URL", "http://shop.example.com/hook"),
        ("NOTIFY_URL", "https://user:word@shop.example.com/hook"),
        ("NOTIFY_SECRET", "two words of secret"),
        ("NOTIFY_SMS_TO", "the owner"),
        ("CONFIRM_BY_SMS", "perhaps"),
        ("DATABASE_URL", "mysql://localhost/relay"),
        ("DATABASE_URL", "relay.db"),
        ("DATABASE_URL", "sqlite://relay.db"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("REALTIME_AUDIO_FORMAT", "opus"),
        ("VAD_THRESHOLD", "1.5"),
        ("VAD_SILENCE_MS", "0"),
        ("NOISE_REDUCTION", "none"),
        ("MAX_CALLS", "0"),
        ("MAX_CALL_USD", "0"),
        ("MAX_CALL_USD", "1.0000001"),
        ("MAX_DAY_USD", "-20"),
        ("MAX_DAY_USD", "twenty"),
        ("RETENTION_DAYS", "-1"),
        ("LOG_PII", "maybe"),
        ("MAX_CALL_S", "1"),
        ("DRAIN_S", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("METRICS_PORT", "65536"),
        ("MAX_CALLS_PER_NUMBER", "-1"),
        ("MAX_CALLS_PER_NUMBER_HOUR", "1001"),
        ("ALLOW_NUMBERS", "4155550100"),
        ("BLOCK_NUMBERS", "+1415555*0100"),
        ("BLOCK_NUMBERS", "+14155550100 +14155550101"),
        ("BLOCK_NUMBERS", "*"),
    ],
)
def test_a_malformed_value_is_named_and_nothing_else_is(name: str, value: str) -> None:
    head, *lines = fault(**{name: value}).splitlines()
    assert head == "these settings need attention (environment or .env):"
    assert len(lines) == 1
    assert lines[0].startswith(f"  {name} is malformed (")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "http://127.0.0.1:8080"),
        ("PUBLIC_URL", "http://localhost:8080/"),
        ("PUBLIC_URL", "https://relay.example.com/base/"),
        ("OPENAI_REALTIME_URL", "ws://localhost:9000/v1/realtime"),
        ("OPENAI_REALTIME_URL", "wss://proxy.example.com/v1/realtime?region=eu"),
        ("TWILIO_API_URL", "http://127.0.0.1:9001"),
        ("BUSINESS_API_BASE", "https://api.example.com/v1"),
        ("DATABASE_URL", "sqlite:////data/relay.db"),
        ("DATABASE_URL", "postgres://relay:word@db.example.com/relay"),
        ("DATABASE_URL", "postgresql+psycopg://db.example.com/relay"),
        ("PORT", "0"),
        ("MAX_CALLS", "40"),
        ("MAX_CALL_USD", "1.50"),
        ("MAX_DAY_USD", "0.000001"),
        ("RETENTION_DAYS", "0"),
        ("LOG_PII", "on"),
    ],
)
def test_a_good_value_is_taken(name: str, value: str) -> None:
    assert load({**ENVIRON, name: value})


def test_public_url_loses_its_slash_and_gives_the_stream_url() -> None:
    settings = load({**ENVIRON, "PUBLIC_URL": "https://relay.example.com/base/"})
    assert settings.public_url == "https://relay.example.com/base"
    assert settings.stream_url == "wss://relay.example.com/base"
    assert load({**ENVIRON, "PUBLIC_URL": "http://localhost:80"}).stream_url == "ws://localhost:80"


def test_the_human_must_not_be_the_relay_itself() -> None:
    assert "the same" in fault(HUMAN_TRANSFER_NUMBER=ENVIRON["TWILIO_PHONE_NUMBER"])


@pytest.mark.parametrize("secret", [{}, {"NOTIFY_SECRET": "too-short"}])
def test_a_webhook_needs_a_secret(secret: dict[str, str]) -> None:
    assert "needs a NOTIFY_SECRET" in fault(NOTIFY_URL="https://shop.example.com/hook", **secret)


@pytest.mark.parametrize("url", ["https://shop.example.com/hook?key=1", "http://127.0.0.1:8090/"])
def test_a_webhook_and_its_secret_are_taken(url: str) -> None:
    settings = load({**ENVIRON, "NOTIFY_URL": url, "NOTIFY_SECRET": "0123456789abcdef"})
    assert settings.notify_url == url
    assert "0123456789abcdef" not in repr(settings)


def test_the_relay_does_not_text_itself() -> None:
    assert "cannot text itself" in fault(NOTIFY_SMS_TO=ENVIRON["TWILIO_PHONE_NUMBER"])


def test_secrets_show_in_no_repr_and_in_no_fault() -> None:
    password = "postgresql://relay:hunter2@db.example.com/relay"
    shown = repr(load({**ENVIRON, "DATABASE_URL": password})) + fault(
        TWILIO_AUTH_TOKEN="a-very-secret token",
        OPENAI_API_KEY="sk-a-very-secret key",
        BUSINESS_API_TOKEN="a-very-secret word",
        DATABASE_URL="mysql://relay:hunter2@db.example.com/relay",
    )
    assert "very-secret" not in shown
    assert "hunter2" not in shown


def test_serving_a_business_asks_for_nothing_else() -> None:
    settings = load({"BUSINESS_API_TOKEN": "sesame", "PORT": "eighty"}, kind=BusinessSettings)
    assert settings.business_api_token is not None
    assert settings.business_api_token.get_secret_value() == "sesame"
    assert load({}, kind=BusinessSettings).business_api_token is None
    with pytest.raises(ConfigError, match="BUSINESS_API_TOKEN is malformed"):
        load({"BUSINESS_API_TOKEN": "open sesame"}, kind=BusinessSettings)


@pytest.mark.parametrize(
    ("changes", "folder"),
    [
        ({}, "spool"),
        ({"DATABASE_URL": "sqlite:////data/relay.db"}, "/data/spool"),
        ({"DATABASE_URL": "sqlite:///some/relay.db?timeout=5"}, "some/spool"),
        ({"DATABASE_URL": "postgresql://db.example.com/relay"}, "spool"),
        ({"DATABASE_URL": "sqlite:////data/relay.db", "SPOOL_DIR": "/other"}, "/other"),
    ],
)
def test_the_spool_lies_beside_the_database_or_here(changes: dict[str, str], folder: str) -> None:
    assert load({**ENVIRON, **changes}).spool_folder == Path(folder)


@pytest.mark.parametrize("from_file", [False, True])
def test_lists_of_numbers_are_written_with_commas(from_file: bool, tmp_path: Path) -> None:
    listed = "+14155550100, +1900* ,withheld,"
    file = tmp_path / ".env"
    file.write_text(f"BLOCK_NUMBERS={listed}\n" if from_file else "")
    settings = load({**ENVIRON, **({} if from_file else {"BLOCK_NUMBERS": listed})}, file)
    assert settings.block_numbers == ("+14155550100", "+1900*", "withheld")
    assert settings.allow_numbers == ()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError):
        load(ENVIRON).port = 1


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=9000\nREALTIME_VOICE=cedar\nLOG_LEVEL=\nUNKNOWN=1\n")
    settings = load({**ENVIRON, "PORT": "9001"}, file)
    assert (settings.port, settings.realtime_voice, settings.log_level) == (9001, "cedar", "INFO")


def test_an_unreadable_file_is_a_clear_fault(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(ENVIRON, file)


def test_a_folder_in_the_file_s_place_is_named(tmp_path: Path) -> None:
    """An engine that mounts a file which is not there makes one."""
    (tmp_path / ".env").mkdir()
    with pytest.raises(ConfigError, match=r"\.env cannot be read: Is a directory"):
        load(ENVIRON, tmp_path / ".env")


def test_a_missing_setting_is_told_with_the_name_that_stands_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("OPENAI_APIKEY=sk-secret\n")
    with pytest.raises(ConfigError) as caught:
        load({**ENVIRON, "OPENAI_API_KEY": ""}, file)
    (line,) = str(caught.value).splitlines()[1:]
    said, _, _ = line.partition(": ")
    assert said == "  OPENAI_API_KEY is missing (there is OPENAI_APIKEY, which is no setting)"
    faults, _ = examine({**ENVIRON, "OPENAI_API_KEY": ""}, file)
    assert [named(fault) for fault in faults] == [("OPENAI_API_KEY",)]


def test_a_line_that_means_nothing_is_named_with_all_other_faults(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        'MAX_CALLS=2 # two\nOPENAI_API_KEY="sk-secret\n\nexport PORT=eighty\nand so on\n'
    )
    with pytest.raises(ConfigError) as caught:
        load({**ENVIRON, "OPENAI_API_KEY": ""}, file)
    _, *faults = str(caught.value).splitlines()
    assert [fault.split(" is ")[0].strip() for fault in faults] == [
        f"line 2 of {file}",
        f"line 5 of {file}",
        "OPENAI_API_KEY",
        "PORT",
    ]
    assert "sk-secret" not in str(caught.value)
    file.write_text("# a comment\n\nMAX_CALLS=2\nand so on\n")
    with pytest.raises(ConfigError, match="line 4 of"):
        load(ENVIRON, file)


@pytest.mark.parametrize("content", [b"PORT=80\xff\xfe80", "PORT=8080".encode("utf-16")])
def test_a_file_that_is_no_text_is_one_fault_and_the_rest_is_looked_at(
    content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_bytes(content)
    faults, settings = examine({"REALTIME_VOICE": "cedar"}, file)
    assert len(faults) == 1
    assert f"{file} cannot be read" in faults[0]
    assert settings is not None
    assert settings.realtime_voice == "cedar"
    assert strange({}, file) == {}


def test_the_process_environment_is_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").write_text("REALTIME_VOICE=sage\n")
    assert load().realtime_voice == "sage"


def test_env_example_lists_every_setting_and_shows_the_defaults() -> None:
    text = (ROOT / ".env.example").read_text()
    listed = dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))
    assert set(listed) == {name.upper() for name in Settings.model_fields}
    assert {name for name in listed if re.search(rf"^{name}=", text, re.MULTILINE)} == set(ENVIRON)
    shown = load({**ENVIRON, **{k: v for k, v in listed.items() if v}})
    silent = {
        "allow_numbers",
        "block_numbers",
        "business_api_base",
        "business_file",
        "emergency_phrases",
        "refusal_phrases",
        "log_format",
        "max_call_usd",
        "max_calls",
        "max_day_usd",
        "metrics_port",
        "noise_reduction",
        "prices_file",
        "realtime_model_hard",
        "realtime_tokens_per_minute",
    }
    assert shown.model_dump(exclude=silent) == load(ENVIRON).model_dump(exclude=silent)


@pytest.mark.parametrize("name", ["EMERGENCY_PHRASES", "REFUSAL_PHRASES"])
def test_phrases_are_those_of_the_languages_unless_others_are_set(name: str) -> None:
    def looked_for(**changes: str) -> tuple[str, ...]:
        settings = load({**ENVIRON, **changes})
        return settings.alarms if name == "EMERGENCY_PHRASES" else settings.refusals

    english, spanish = looked_for(LANGUAGES="en"), looked_for(LANGUAGES="es")
    assert min(len(english), len(spanish)) > 10
    assert not set(english) & set(spanish)
    assert looked_for() == english + spanish
    assert looked_for(LANGUAGES="fr") == ()
    assert looked_for(**{name: "au secours; à l'aide ;"}) == ("au secours", "à l'aide")
    assert looked_for(**{name: ";"}) == ()


@pytest.mark.parametrize("listed", ["english", "en;es", ",", "e"])
def test_languages_are_iso_codes(listed: str) -> None:
    with pytest.raises(ConfigError, match="LANGUAGES"):
        load({**ENVIRON, "LANGUAGES": listed})


def rows(page: Path) -> list[tuple[list[str], str]]:
    """The settings' tables of a page: names and the default's cell, row by row."""
    found = re.findall(
        r"^\| (`[A-Z][A-Z0-9_`, ]+`) \| ?(.*?) ?\| .+ \|$", page.read_text(), re.MULTILINE
    )
    return [(re.findall(r"`([A-Z0-9_]+)`", names), default) for names, default in found]


def test_the_page_of_settings_has_each_once_with_its_default() -> None:
    shown = {name: default for [name], default in rows(ROOT / "docs" / "settings.md")}
    assert sorted(shown) == sorted(name.upper() for name in Settings.model_fields)
    defaults = load(ENVIRON)
    for name, field in Settings.model_fields.items():
        default = shown[name.upper()]
        value = getattr(defaults, name)
        assert field.is_required() == (default == "needed"), name
        if field.is_required():
            continue
        if not default:
            assert value in (None, "", ()), name
        elif written := re.fullmatch(r"`([^`]+)`", default):
            assert getattr(load({**ENVIRON, name.upper(): written[1]}), name) == value, name
        else:
            assert name in {"business_file", "log_format", "prices_file", "spool_dir"}


def test_the_readme_has_the_needed_settings_and_no_others_than_there_are() -> None:
    found = [(name, default) for names, default in rows(ROOT / "README.md") for name in names]
    assert {name for name, default in found if default == "needed"} == set(ENVIRON)
    assert len(dict(found)) == len(found) >= len(ENVIRON) + 10
    defaults = load(ENVIRON)
    for name, default in found:
        value = getattr(defaults, name.lower())
        if default in ("off", "no cap"):
            assert value is None, name
        elif default.startswith("`"):
            assert f"`{getattr(value, 'get_secret_value', lambda v=value: v)()}`" in default, name


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"CONSENT_POLICY": "states"}, "needs a BUSINESS_STATE"),
        ({"BUSINESS_STATE": "XX"}, "no state of the USA"),
        ({"BUSINESS_STATE": "Texas"}, "no state of the USA"),
        ({"RECORD_CALLS": "yes"}, "RECORD_CALLS is malformed"),
    ],
)
def test_what_is_kept_of_calls_is_checked(given: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load({**ENVIRON, **given})
    load({**ENVIRON, "CONSENT_POLICY": "states", "BUSINESS_STATE": "TX", "RECORD_CALLS": "twilio"})
