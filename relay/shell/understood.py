"""What a model's words mean beyond themselves: alarms and refusals are seen, and what must not be
known is hidden, before the core is told of them."""

from __future__ import annotations

from dataclasses import replace

from relay.core import events as on
from relay.core.emergency import alarming, language_of
from relay.core.policy import CallPolicy
from relay.core.redaction import redacted


def understood(event: on.Event, policy: CallPolicy) -> on.Event:
    """An event of the model's whose words were looked at: what must not be known is hidden."""
    match event:
        case on.CallerTranscribed(text=text):
            alarms = alarming(text, policy.emergency_phrases)
            return replace(
                event,
                text=redacted(text),
                alarming=alarms,
                language=language_of(text) if alarms else "",
                refusing=alarming(text, policy.refusal_phrases),
            )
        case on.AgentTranscribed(text=text) | on.AgentText(text=text) | on.AgentWrote(text=text):
            return replace(event, text=redacted(text))
        case on.FunctionCalled(arguments=arguments):
            return replace(event, arguments=redacted(arguments))
    return event
