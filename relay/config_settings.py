"""The settings themselves: a field each, with what it is for, and what must hold between them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from relay.config_types import (
    BaseUrl,
    Callers,
    DatabaseUrl,
    HookUrl,
    Languages,
    MoneyCap,
    OptionalSecret,
    People,
    PhoneNumber,
    PublicUrl,
    Secret,
    SocketUrl,
    pairs,
    phrases,
)
from relay.core.consent import PHRASES as REFUSALS
from relay.core.consent import STATES
from relay.core.emergency import PHRASES as EMERGENCIES
from relay.core.emergency import phrases_of

MIN_SECRET_CHARS = 16


class BusinessSettings(BaseSettings):
    """What serving the embedded business (`relay business`), and looking into records, takes,
    checked. Made by `load`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    business_file: Path = Field(
        default=Path(__file__).parent / "adapters" / "business.toml",
        description="facts, hours and services of the embedded business, a TOML file",
    )
    business_api_token: OptionalSecret = Field(
        default=None, description="the bearer token of the business's HTTP API; unset: none"
    )
    database_url: DatabaseUrl = Field(
        default=SecretStr("sqlite:///relay.db"),
        description="where calls are written down: sqlite:///relay.db or postgresql://…",
    )
    spool_dir: Path | None = Field(
        default=None,
        description="folder where records wait while the database is away, one a process;"
        " unset: spool, beside the SQLite file or here",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="least level that is logged: DEBUG, INFO, WARNING, ERROR"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment comes in through `load` alone, so that a test can hand in its own."""
        return init_settings, dotenv_settings

    @property
    def spool_folder(self) -> Path:
        """SPOOL_DIR, or where it is without one."""
        if self.spool_dir is not None:
            return self.spool_dir
        scheme, _, rest = self.database_url.get_secret_value().partition(":///")
        file = rest.partition("?")[0] if scheme == "sqlite" else ""
        return Path(file).parent / "spool"


class Settings(BusinessSettings):
    """The relay's settings, checked. Made by `load`."""

    # ---- Twilio: the phone's side -----------------------------------------------------------
    twilio_account_sid: str = Field(
        pattern=r"^AC[0-9a-fA-F]{32}$",
        description="the Twilio account whose calls are answered (AC and 32 hexadecimal digits)",
    )
    twilio_auth_token: Secret = Field(
        description="that account's primary auth token; it signs every request from Twilio"
    )
    twilio_phone_number: PhoneNumber = Field(
        description="the number that callers dial, as E.164 (+14155550100)"
    )
    twilio_api_url: BaseUrl = Field(
        default="https://api.twilio.com", description="Twilio's REST API; another one for tests"
    )
    public_url: PublicUrl = Field(
        description="the https address under which Twilio reaches this server, without /twilio/…"
    )
    human_transfer_number: PhoneNumber = Field(
        description="the human who takes over a call, as E.164; must not be the relay's own number"
    )
    transfer_numbers: People = Field(
        default="",
        description="more people to put callers through to: billing=+14155550111, sales=+1…",
    )
    desk_hours: Literal["business", "always"] = Field(
        default="business",
        description="when humans are rung: business (its opening hours, else voicemail) or always",
    )

    # ---- OpenAI: the model's side -----------------------------------------------------------
    openai_api_key: Secret = Field(
        description="key of the OpenAI project that pays for the Realtime sessions"
    )
    openai_realtime_url: SocketUrl = Field(
        default="wss://api.openai.com/v1/realtime",
        description="where Realtime sessions are opened; another one for tests",
    )
    realtime_model: str = Field(
        default="gpt-realtime-2.1-mini", min_length=1, description="the Realtime model that speaks"
    )
    realtime_tokens_per_minute: int | None = Field(
        default=None,
        ge=1000,
        description="tokens a minute of the OpenAI project's tier, for `relay doctor`",
    )
    realtime_voice: str = Field(
        default="marin", min_length=1, description="the agent's voice: marin, cedar, alloy, …"
    )
    voice_provider: Literal["openai", "elevenlabs"] = Field(
        default="openai",
        description="who speaks: openai (the model itself) or elevenlabs (what the model writes)",
    )
    elevenlabs_api_key: OptionalSecret = Field(
        default=None, description="key of the ElevenLabs account that pays for that voice"
    )
    elevenlabs_voice_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="which of its voices speaks, as ElevenLabs names it",
    )
    elevenlabs_model: str = Field(
        default="eleven_flash_v2_5", min_length=1, description="by which of ElevenLabs' models"
    )
    elevenlabs_url: SocketUrl = Field(
        default="wss://api.elevenlabs.io",
        description="where ElevenLabs' connections are opened; another one for tests",
    )
    realtime_audio_format: Literal["pcm", "pcmu"] = Field(
        default="pcm",
        description="audio to and from the model: pcm (24 kHz, converted) or pcmu (Twilio's own)",
    )
    greeting: Literal["clip", "live"] = Field(
        default="clip",
        description="who greets: clip (a recording, at once) or live (the model speaks first)",
    )
    clips: Literal["model", "packaged"] = Field(
        default="model",
        description="whose voice the recordings have: model (recorded at start) or packaged",
    )
    server_turns: bool = Field(
        default=False,
        description="true: the model answers every turn by itself, without waiting for the relay",
    )
    vad_threshold: float = Field(
        default=0.5, ge=0, le=1, description="how loud speech must be to count, from 0 to 1"
    )
    vad_silence_ms: int = Field(
        default=500, ge=100, le=5000, description="silence after which a caller's turn is over"
    )
    vad_mode: Literal["server_vad", "semantic_vad"] = Field(
        default="server_vad",
        description="how the model hears a turn's end: by silence, or by what was said",
    )
    vad_eagerness: Literal["low", "medium", "high", "auto"] = Field(
        default="auto", description="how soon semantic_vad takes a turn for over"
    )
    realtime_model_hard: str | None = Field(
        default=None, description="a larger model that takes over harder calls; unset: none"
    )
    noise_reduction: Literal["near_field", "far_field"] | None = Field(
        default=None,
        description="the model's noise reduction: near_field, far_field, or unset for none",
    )

    # ---- the business -----------------------------------------------------------------------
    business_api_base: BaseUrl | None = Field(
        default=None, description="the business's HTTP API; unset: the embedded business"
    )
    prompts_dir: Path = Field(
        default=Path("prompts"), description="folder with system.md, greeting.md, …"
    )
    languages: Languages = Field(
        default=("en", "es"),
        description="what callers speak, as ISO 639-1 codes with commas: what is recognised, and"
        " whose packaged phrases are looked for (there are en and es)",
    )
    emergency_phrases: str | None = Field(
        default=None,
        description="words that bring the emergency line, separated by ; (unset: packaged lists)",
    )
    refusal_phrases: str | None = Field(
        default=None,
        description="words after which nothing of the call is kept, separated by ; (unset:"
        " packaged lists)",
    )

    # ---- what the owner is told -------------------------------------------------------------
    notify_url: HookUrl | None = Field(
        default=None,
        description="where bookings, messages and failed calls are posted; unset: nowhere",
    )
    notify_secret: Secret | None = Field(
        default=None, description="what those posts are signed with, 16 characters or more"
    )
    notify_sms_to: PhoneNumber | None = Field(
        default=None, description="the owner's mobile, told of the same by SMS; unset: no SMS"
    )
    confirm_by_sms: bool = Field(
        default=False,
        description="whether callers get an SMS about what they booked, changed or cancelled",
    )

    # ---- what is kept of calls --------------------------------------------------------------
    record_calls: Literal["off", "twilio"] = Field(
        default="off",
        description="whether calls are recorded: off, or twilio (there, once the notice was heard)",
    )
    consent_policy: Literal["always", "states"] = Field(
        default="always",
        description="who hears the notice: always everybody, or by states (docs/consent.md)",
    )
    business_state: str = Field(
        default="", description="the business's state, as in TX; CONSENT_POLICY=states needs it"
    )

    # ---- this process -----------------------------------------------------------------------
    host: str = Field(default="0.0.0.0", min_length=1, description="address to listen on")  # noqa: S104
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on; 0: any free")
    max_calls: int | None = Field(
        default=None, ge=1, description="calls at once; more go to the human; unset: no cap"
    )
    max_calls_per_number: int = Field(
        default=3, ge=0, description="calls of one number at once; more go to the human; 0: no cap"
    )
    max_calls_per_number_hour: int = Field(
        default=10, ge=0, le=1000, description="calls of one number within an hour; 0: no cap"
    )
    allow_numbers: Callers = Field(
        default=(),
        description="numbers that those two caps do not bind: +14155550100,+1212555*,withheld",
    )
    block_numbers: Callers = Field(
        default=(), description="numbers whose calls are rejected unanswered, listed likewise"
    )
    max_call_s: int = Field(
        default=600, ge=30, le=14400, description="seconds after which a call is wound up"
    )
    max_call_usd: MoneyCap = Field(
        default=None, description="what one call may cost, in USD; unset: no cap"
    )
    max_day_usd: MoneyCap = Field(
        default=None,
        description="what all calls of a day (in UTC) may cost, in USD; unset: no cap",
    )
    max_day_processes: int = Field(
        default=2,
        ge=1,
        le=1000,
        description="how many processes share the database, and so the day's cap: when it is"
        " away, each spends at most this part of what was left of the day",
    )
    prices_file: Path = Field(
        default=Path(__file__).parent / "prices.toml",
        description="what models and minutes cost, a TOML file with its date",
    )
    retention_days: int = Field(
        default=90,
        ge=0,
        le=36_500,
        description="days that words are kept: transcripts, what functions were given; 0: for ever",
    )
    drain_s: float = Field(
        default=270,
        ge=0,
        le=3600,
        description="seconds that running calls get to end after SIGTERM (Fly allows 300)",
    )
    log_format: Literal["json", "console"] | None = Field(
        default=None,
        description="how log lines look: json or console; unset: console on a terminal, else json",
    )
    log_pii: Literal["on", "off"] = Field(
        default="off", description="whether callers' numbers and words are legible in the log"
    )
    websockets: Literal["native", "library"] = Field(
        default="native",
        description="whose WebSockets carry calls: native, or library as a way back",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="port of GET /metrics, for Prometheus; 0: any free; unset: none",
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="private address of that port; never a public one",
    )
    flight_dir: Path | None = Field(
        default=None,
        description="folder for a recording of each call's events, for `relay replay`; unset: off",
    )
    flight_max_bytes: int = Field(
        default=4_000_000, ge=65_536, description="the largest such recording; it ends there"
    )
    flight_audio: bool = Field(
        default=False, description="whether the recordings hold the sound, too: true or false"
    )

    @model_validator(mode="after")
    def _human_is_someone_else(self) -> Settings:
        for name, number in self.people.items():
            if number == self.twilio_phone_number:
                which = f"{name} in TRANSFER_NUMBERS" if name else "HUMAN_TRANSFER_NUMBER"
                raise ValueError(
                    f"{which} and TWILIO_PHONE_NUMBER are the same: "
                    "a transfer would call the relay itself"
                )
        return self

    @model_validator(mode="after")
    def _second_voice_can_speak(self) -> Settings:
        if self.voice_provider != "elevenlabs":
            return self
        if not (self.elevenlabs_api_key and self.elevenlabs_voice_id):
            raise ValueError(
                "VOICE_PROVIDER=elevenlabs needs ELEVENLABS_API_KEY and ELEVENLABS_VOICE_ID"
            )
        if self.server_turns:
            raise ValueError(
                "SERVER_TURNS and VOICE_PROVIDER=elevenlabs exclude each other: "
                "which voice answers is decided turn by turn, by the relay"
            )
        return self

    @model_validator(mode="after")
    def _state_is_known(self) -> Settings:
        if self.business_state and self.business_state not in STATES:
            raise ValueError("BUSINESS_STATE is no state of the USA in two letters, such as TX")
        if self.consent_policy == "states" and not self.business_state:
            raise ValueError(
                "CONSENT_POLICY=states needs a BUSINESS_STATE: the law of both ends counts"
            )
        return self

    @model_validator(mode="after")
    def _notices_can_be_delivered(self) -> Settings:
        secret = self.notify_secret.get_secret_value() if self.notify_secret else ""
        if self.notify_url is not None and len(secret) < MIN_SECRET_CHARS:
            raise ValueError(
                f"NOTIFY_URL needs a NOTIFY_SECRET of {MIN_SECRET_CHARS} characters or more: "
                "without one anybody could post there in the relay's name"
            )
        if self.notify_sms_to == self.twilio_phone_number:
            raise ValueError("NOTIFY_SMS_TO is the relay's own number, which cannot text itself")
        return self

    @property
    def people(self) -> Mapping[str, str]:
        """Who can be rung: numbers by name, "" for HUMAN_TRANSFER_NUMBER."""
        return {"": self.human_transfer_number, **dict(pairs(self.transfer_numbers))}

    @property
    def alarms(self) -> tuple[str, ...]:
        """EMERGENCY_PHRASES one by one, or the packaged ones of the languages."""
        if self.emergency_phrases is None:
            return phrases_of(EMERGENCIES, self.languages)
        return phrases(self.emergency_phrases)

    @property
    def refusals(self) -> tuple[str, ...]:
        """REFUSAL_PHRASES, likewise."""
        if self.refusal_phrases is None:
            return phrases_of(REFUSALS, self.languages)
        return phrases(self.refusal_phrases)

    @property
    def stream_url(self) -> str:
        """PUBLIC_URL as Twilio's Media Streams must write it: wss:// (ws:// on this machine)."""
        return "ws" + self.public_url.removeprefix("http")
