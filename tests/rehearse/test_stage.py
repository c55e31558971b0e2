"""What a rehearsal may reach: the model, and nothing else that is real."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from relay import config
from relay.rehearse.stage import isolated, without_settings
from tests.test_config import ENVIRON

REAL = config.load(
    {
        **ENVIRON,
        "BUSINESS_API_BASE": "https://business.example.com",
        "BUSINESS_API_TOKEN": "b" * 20,
        "NOTIFY_URL": "https://owner.example.com/hook",
        "NOTIFY_SECRET": "s" * 20,
        "NOTIFY_SMS_TO": "+14155550177",
        "CONFIRM_BY_SMS": "true",
        "TRANSFER_NUMBERS": "billing=+14155550188",
        "REALTIME_VOICE": "cedar",
        "VAD_SILENCE_MS": "450",
        "GREETING": "live",
        "MAX_CALL_USD": "0.20",
        "BLOCK_NUMBERS": "+1*",
        "METRICS_PORT": "9100",
        "DATABASE_URL": "postgresql://db.example.com/relay",
    }
)


def test_what_is_rehearsed_is_what_is_configured(tmp_path: Path) -> None:
    stage = isolated(REAL, tmp_path, None, Decimal(1))
    for name in (
        *("realtime_model", "realtime_voice", "realtime_audio_format", "openai_realtime_url"),
        *("openai_api_key", "vad_silence_ms", "greeting", "prompts_dir", "business_file"),
        *("people", "max_call_usd", "server_turns", "realtime_model_hard"),
    ):
        assert getattr(stage, name) == getattr(REAL, name), name


def test_nothing_else_that_is_real_is_in_reach(tmp_path: Path) -> None:
    stage = isolated(REAL, tmp_path, None, Decimal(1))
    assert str(tmp_path) in stage.database_url.get_secret_value()
    assert stage.spool_folder.is_relative_to(tmp_path)
    assert stage.twilio_auth_token != REAL.twilio_auth_token
    assert stage.twilio_account_sid != REAL.twilio_account_sid
    assert stage.host == "127.0.0.1"
    nobody = (stage.business_api_base, stage.notify_url, stage.notify_sms_to, stage.metrics_port)
    assert nobody == (None,) * 4
    assert not stage.confirm_by_sms
    assert stage.block_numbers == ()
    assert stage.max_day_usd == Decimal(1)


def test_the_simulated_model_needs_no_settings(tmp_path: Path) -> None:
    assert without_settings(tmp_path).openai_api_key.get_secret_value() == "missing"
