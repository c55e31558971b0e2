"""Whether a caller must be told that the call is kept, and whether they have said no to it.

The laws of 14 states ask for everybody's consent before a call is recorded, or may be read so. A
notice at the call's beginning serves in all of them, so callers hear one, always. A business may
choose otherwise (CONSENT_POLICY=states): then the notice is left out when the caller's state and
the business's own are both known, and neither is among the 14. What is not known asks for it.

Where a number is registered is not where its caller stands: a reason for the notice, but no proof
that none is needed. This is not legal advice.

The caller's words are looked at where they arrive (shell/session.py), as an emergency's are; what
follows is the core's (keeping.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

ConsentPolicy: TypeAlias = Literal["always", "states"]

#: States in which everybody on the line must know, by statute or by case, or may have to.
ALL_PARTY: Final = frozenset(
    ("CA", "CT", "DE", "FL", "IL", "MA", "MD", "MI", "MT", "NH", "NV", "OR", "PA", "WA")
)
#: States, and the District of Columbia, in which one party's consent is enough.
# fmt: off
ONE_PARTY: Final = frozenset(
    (
        "AK", "AL", "AR", "AZ", "CO", "DC", "GA", "HI", "IA", "ID", "IN", "KS", "KY", "LA",
        "ME", "MN", "MO", "MS", "NC", "ND", "NE", "NJ", "NM", "NY", "OH", "OK", "RI", "SC",
        "SD", "TN", "TX", "UT", "VA", "VT", "WI", "WV", "WY"
    )
)
# fmt: on
#: Every state that a business may be in.
STATES: Final = ALL_PARTY | ONE_PARTY

#: Phrases with which a caller refuses, by language; as an emergency's, in emergency.py.
PHRASES: Final = {
    "en": (
        "don't record",
        "do not record",
        "stop recording",
        "stop the recording",
        "stop that recording",
        "no recording",
        "not record me",
        "not be recorded",
        "not to be recorded",
        "not being recorded",
        "not want to be recorded",
        "don't want to be recorded",
        "don't wanna be recorded",
        "don't want this recorded",
        "don't want this call recorded",
        "don't want you to record",
        "without recording",
        "without being recorded",
        "turn off the recording",
        "turn the recording off",
        "delete the recording",
        "don't consent to",
        "do not consent to",
        "don't transcribe",
        "do not transcribe",
        "stop transcribing",
    ),
    "es": (
        "no me grabe",
        "no me graben",
        "no me grabes",
        "no me vaya a grabar",
        "no grabe",
        "no graben",
        "no grabes",
        "no quiero que me grabe",
        "no quiero que me graben",
        "no quiero que me grabes",
        "no quiero que grabe",
        "no quiero que graben",
        "no quiero que se grabe",
        "no quiero que esta llamada se grabe",
        "no quiero que sea grabada",
        "no quiero ser grabado",
        "no quiero ser grabada",
        "que no se grabe",
        "sin grabar",
        "sin grabación",
        "sin que me graben",
        "sin ser grabado",
        "sin ser grabada",
        "deje de grabar",
        "dejen de grabar",
        "deja de grabar",
        "pare de grabar",
        "pare la grabación",
        "paren la grabación",
        "detenga la grabación",
        "apague la grabación",
        "quite la grabación",
        "borre la grabación",
        "borren la grabación",
        "no doy mi consentimiento",
        "no consiento",
        "no doy permiso para grabar",
        "no autorizo",
        "no transcriba",
        "no transcriban",
        "deje de transcribir",
    ),
}


def notice_needed(policy: ConsentPolicy, business_state: str, caller: Mapping[str, str]) -> bool:
    """Whether this caller must hear the notice.

    caller: what the phone network says of them: "caller" (E.164; absent or "" when withheld),
        "country" and "state" of the number
    """
    if policy == "always" or business_state not in ONE_PARTY:
        return True
    known = caller.get("caller", "").startswith("+1") and caller.get("country") == "US"
    return not known or caller.get("state", "") not in ONE_PARTY
