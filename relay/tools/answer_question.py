"""answer_question: what the business lets callers know, by topic.

The facts are few and short, so they are found by their words: a fact counts as often as its topic
(twice) and its text (once) share a word with what was asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec

from relay.tools.tool import Arguments, ToolPorts, ToolResult, clip, fitting, tool

MAX_FACTS = 3
MAX_TOPICS = 40
MAX_FACT_CHARS = 500

# Words that are in every question, and say nothing about it.
SMALL_WORDS = frozenset(
    (
        *("a", "an", "the", "this", "it", "there", "in", "on", "at", "of", "to", "for", "from"),
        *("and", "or", "with", "about", "is", "are", "be", "do", "does", "can", "will", "have"),
        *("i", "me", "my", "we", "our", "you", "your", "want", "any", "which", "who", "why"),
        *("what", "when", "where", "how"),
    )
)
# "park", "parks" and "parking" are one word: this much of their beginnings is compared.
STEM_CHARS = 4
MIN_STEM = 3


class AnswerQuestion(Arguments):
    """Look up what the business tells callers about a topic: parking, payment, insurance, what to
    bring, and so on. If nothing is known, say so; do not make an answer up."""

    topic: Annotated[
        str,
        msgspec.Meta(description="what it is about, in a few words", min_length=1, max_length=120),
    ]


async def run(args: AnswerQuestion, ports: ToolPorts) -> ToolResult:
    facts = (await ports.business.profile()).facts
    found = best(facts, args.topic)
    if found:
        told = [
            {"topic": _spoken(topic), "fact": clip(facts[topic], MAX_FACT_CHARS)} for topic in found
        ]
        return ToolResult(fitting({"known": True, "facts": told}, "facts"))
    output = {
        "known": False,
        "message": "Nothing is known about this. Say so, and offer a message or a person. These"
        " are the topics that there are.",
        "topics": [_spoken(topic) for topic in list(facts)[:MAX_TOPICS]],
    }
    return ToolResult(fitting(output, "topics"))


def best(facts: Mapping[str, str], question: str) -> list[str]:
    """Topics of the facts that fit a question, the best first."""
    asked = _words(question)
    scores = {
        topic: 2 * _shared(asked, _words(topic)) + _shared(asked, _words(fact))
        for topic, fact in facts.items()
    }
    fit = [topic for topic, score in scores.items() if score]
    return sorted(fit, key=lambda topic: -scores[topic])[:MAX_FACTS]


def _shared(asked: Collection[str], told: Collection[str]) -> int:
    """How many of the words asked stand, in some form, among those told."""
    return sum(any(_same(word, other) for other in told) for word in asked)


def _same(one: str, other: str) -> bool:
    length = min(len(one), len(other), STEM_CHARS)
    return one == other or (length >= MIN_STEM and one[:length] == other[:length])


def _words(text: str) -> set[str]:
    return set(_letters(text).casefold().split()) - SMALL_WORDS


def _letters(text: str) -> str:
    return "".join(character if character.isalnum() else " " for character in text)


def _spoken(topic: str) -> str:
    return clip(topic.replace("_", " "), 40)


TOOL = tool("answer_question", AnswerQuestion, effect="read", run=run)
