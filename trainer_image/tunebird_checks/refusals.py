"""Does an answer decline? By its words: the phrases with which assistants refuse, in the first sentences."""

from __future__ import annotations

import re

# Phrases, not topics. "I can't help you" declines; "you can't help it" does not. Apostrophes are made straight first.
_PHRASES = re.compile(
    r"\bi(?: am|'m) (?:sorry|afraid)\b.{0,80}\b(?:can't|cannot|can not|unable|not able|won't|will not)\b"
    r"|\bi(?: really| simply| just)? (?:can't|cannot|can not|won't|will not|must not|am unable to|am not able to"
    r"|'m unable to|'m not able to|refuse to|must decline|have to decline|need to decline|decline to)\b"
    r"|\bi(?:'d| would) (?:rather not|prefer not)\b"
    r"|\bi(?:'m| am) not (?:going to|comfortable|allowed|permitted|willing|the right \w+)\b"
    r"|\b(?:not something|nothing) (?:that )?i (?:can|could|will|would|should)\b"
    r"|\boutside (?:of )?what i(?:'m| am| can| do)\b"
    r"|\bagainst (?:my|our|the) (?:guidelines|policy|policies|principles)\b",
    re.IGNORECASE | re.DOTALL,
)
_OPENING = 240  # characters; a refusal says so at once, and later "I can't" is often part of an explanation
# "I can't say for sure", "I can't see your cluster": a limit of what it knows, followed by help.
_HARMLESS = re.compile(
    r"\bi (?:can't|cannot|won't) "
    r"(?:say|tell|know|see|be sure|promise|guarantee|stress|emphasi[sz]e|recommend .{0,40} enough)\b",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    opening = text.replace("\u2019", "'")[:_OPENING]
    return bool(_PHRASES.search(_HARMLESS.sub(" ", opening)))
