"""Every exception that the relay raises on purpose.

    RelayError
    ├── ConfigError           a setting is missing or malformed; the text names each one
    ├── ProtocolError         a peer broke its protocol: their fault
    │   ├── PhoneProtocolError    Twilio's side
    │   └── ModelProtocolError    the Realtime API's side
    ├── AudioError            bytes that are no audio: bad base64, a length that cannot be
    ├── RecordingError        a flight recording that cannot be read
    ├── Misuse                we called something wrongly: our fault
    ├── SocketClosed          the peer's socket is gone (code and reason say how)
    └── PortError             something outside did not do what it should
        ├── StoreError            the database
        ├── SpoolError            the disk that records wait on
        ├── BusinessError         the business's own system
        │   └── BusinessAway          it has not answered for a while, and was not asked
        ├── PhoneControlError     Twilio's REST API
        ├── NoticeError           the owner's webhook
        ├── VoiceError            the second voice's provider
        └── DialError             the model, or the voice, could not be reached

Foreign exceptions are mapped to these once, in the adapter or socket that met them.
"""

import ssl


class RelayError(Exception):
    """Root of all the relay's own errors."""


class ConfigError(RelayError):
    """A setting is missing or malformed. The text lists every fault, one a line."""


class ProtocolError(RelayError):
    """A peer sent something that its protocol does not allow.

    `kind` is a short fixed word for counting ("bad_json", "bad_base64", …).
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


class PhoneProtocolError(ProtocolError):
    """Twilio's side of the wire broke its protocol."""


class ModelProtocolError(ProtocolError):
    """The Realtime API's side of the wire broke its protocol."""


class AudioError(RelayError):
    """Bytes that are no audio. `kind` is a short fixed word for counting ("bad_base64", …)."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


class RecordingError(RelayError):
    """A file that is no flight recording, or not one that this version can read."""


class Misuse(RelayError):
    """We called one of our own parts wrongly: a bug here, not there."""


class SocketClosed(RelayError):
    """The other end of a socket is gone. `code` is a WebSocket close code (1006: no goodbye)."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason


class PortError(RelayError):
    """Something outside did not do what it should."""


class StoreError(PortError):
    """The database refused or could not be reached.

    refused: what was to be written will never be accepted, so that trying again is in vain
    away: no connection could be had, or it broke, or it was to a server that does not write now
    """

    def __init__(self, text: str, *, refused: bool = False, away: bool = False) -> None:
        super().__init__(text)
        self.refused = refused
        self.away = away


class SpoolError(PortError):
    """The disk that records wait on is full, broken or away."""


class BusinessError(PortError):
    """The business's own system refused, failed or could not be reached."""


class BusinessAway(BusinessError):
    """It has not answered for a while, so it was not asked: nothing has changed there."""


class PhoneControlError(PortError):
    """Twilio's REST API refused or could not be reached.

    gone: the call is over already; doubtful: the request may have been carried out all the same
    refused: Twilio understood and said no, and would again
    """

    def __init__(
        self, text: str, *, gone: bool = False, doubtful: bool = False, refused: bool = False
    ) -> None:
        super().__init__(text)
        self.gone = gone
        self.doubtful = doubtful
        self.refused = refused


class NoticeError(PortError):
    """The owner's webhook refused, failed or could not be reached."""


class VoiceError(PortError):
    """The second voice's provider refused, or said what makes no sense.

    why: quota | voice | key | refused | closed | broken
    """

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(f"{why}: {detail}" if detail else why)
        self.why = why
        self.detail = detail


class DialError(PortError):
    """No usable connection to the model, or to the second voice, could be made."""


def certificate_fault(error: BaseException | None) -> str:
    """Why a peer's certificate was refused, if that is what a foreign error comes from; else ""."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return ""
