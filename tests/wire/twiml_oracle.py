"""Is a document of ours what Twilio's own classes can say, and nothing more?

Their constructors name every attribute that a verb has, in snake case, and each verb has a method
for each child that it may hold. A document is built again with them, element by element: what they
do not have is an AssertionError, and so is what they would write otherwise.
"""

from __future__ import annotations

import inspect
import re
from typing import Any
from xml.etree.ElementTree import Element, fromstring

from twilio.twiml.voice_response import VoiceResponse


def snake(name: str) -> str:
    """`statusCallback` as the classes spell it."""
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def check_twiml(document: str) -> None:
    """AssertionError names what Twilio's classes do not know."""
    root = fromstring(document.encode())  # noqa: S314 - our own document
    assert root.tag == "Response"
    assert root.attrib == {}
    rebuilt = VoiceResponse()
    for child in root:
        _build(rebuilt, child)
    assert _shape(fromstring(str(rebuilt).encode())) == _shape(root)  # noqa: S314 - theirs


def attributes(verb: Any) -> set[str]:
    """All that may be written with a verb's method: its text's name among them."""
    return set(inspect.signature(verb).parameters) - {"kwargs"}


def _build(parent: Any, element: Element) -> None:
    verb = getattr(parent, snake(element.tag).lstrip("_"), None)
    assert verb is not None, f"no <{element.tag}> in <{parent.name}>"
    known = attributes(verb)
    given = {snake(name): value for name, value in element.attrib.items()}
    unknown = given.keys() - known
    assert not unknown, f"<{element.tag}> has no {sorted(unknown)}"
    if element.text:
        # A noun's text has a parameter of its own, the first that is no attribute.
        text = next(iter(inspect.signature(verb).parameters))
        assert text not in given, f"<{element.tag}> has no text"
        given[text] = element.text
    built = verb(**given)
    for child in element:
        _build(built, child)


def _shape(element: Element) -> tuple[Any, ...]:
    return element.tag, element.attrib, element.text or "", [_shape(child) for child in element]
