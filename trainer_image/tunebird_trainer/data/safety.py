"""Rows that may teach harm: a short list of patterns by category, shown here in full. It is a smoke detector: English
only, words and not meaning. It misses what is put politely or in another language, and it flags a novel as soon as a
handbook; so it counts by default, and drops or fails only when asked to."""

from __future__ import annotations

import re

CATEGORIES: dict[str, tuple[str, ...]] = {
    "violence": (
        r"i(?:'ll| will| am going to|'m going to) (?:kill|murder|stab|shoot|strangle) (?:you|him|her|them)",
        r"(?:kill|murder|lynch|exterminate) (?:all|every|the) (?:\w+ ){0,2}(?:jews|muslims|christians|immigrants)",
        r"(?:kill|murder|lynch|exterminate|gas) (?:all|every) (?:\w+ )?(?:blacks|whites|women|men|gays|infidels)",
        r"you (?:should|deserve to) (?:die|be (?:killed|shot|raped))",
    ),
    "self-harm": (
        r"(?:go |just )?kill (?:your|my)self",
        r"(?:best|easiest|painless|quickest) (?:way|method)s? (?:to die|of suicide|to kill (?:your|my)self)",
        r"how to (?:hang|cut|poison|starve) (?:your|my)self",
    ),
    "weapons": (
        r"(?:build|mak|assembl|construct)(?:e|ing)? (?:an? |your own )?(?:pipe|nail|car|dirty) ?bombs?",
        r"(?:build|mak|assembl|construct)(?:e|ing)? (?:an? |your own )?(?:molotov cocktails?|ieds?|ghost guns?)",
        r"(?:make|making|synthesi[sz]e|produce) (?:nerve agents?|sarin|ricin|mustard gas|vx)",
        r"(?:synthesi[sz]e|cook|cooking) (?:meth|methamphetamine|fentanyl)",
    ),
    "sexual-minors": (
        r"child porn\w*",
        r"(?:sex|sexual|erotic|nude) (?:\w+ ){0,3}(?:minors?|children|child|toddlers?|preteens?)",
        r"(?:minors?|children|toddlers?|preteens?) (?:\w+ ){0,2}(?:sexually|naked|nude|erotic)",
    ),
    "hate": (
        r"(?:jews|muslims|blacks|immigrants|women|gays) are (?:\w+ )?(?:vermin|subhuman|parasites|cockroaches)",
        r"(?:white|aryan) (?:power|supremacy) (?:now|forever)",
        r"heil hitler",
        r"n[i1]gg[e3]rs?",
        r"f[a4]gg[o0]ts?",
        r"k[i1]kes?",
    ),
    "abuse": (
        r"(?:fuck|screw) you",
        r"you(?:'re| are) (?:a |an |such an? )?(?:\w+ )?(?:idiot|moron|retard|bitch|whore|cunt|bastard)",
        r"you (?:stupid|fucking|dumb|worthless) (?:\w+)",
        r"shut the fuck up",
        r"piece of shit",
    ),
}
_PATTERNS = {name: re.compile(rf"\b(?:{'|'.join(each)})\b", re.IGNORECASE) for name, each in CATEGORIES.items()}


def categories(text: str) -> list[str]:
    """The categories of which the text holds a pattern."""
    text = " ".join(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())
    return [name for name, pattern in _PATTERNS.items() if pattern.search(text)]
