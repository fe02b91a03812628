"""Personal data and secrets in a text: found by their shape and, where they have one, their checksum. Nothing here
knows names, addresses or birthdays: what is found is redacted, what is not found may still be personal."""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PLACEHOLDERS = {
    "email": "[EMAIL]", "phone": "[PHONE]", "card": "[CARD]", "iban": "[IBAN]", "ip": "[IP]", "secret": "[SECRET]",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hit:
    kind: str
    start: int
    end: int


def hits(text: str, kinds: Iterable[str] = PLACEHOLDERS) -> list[Hit]:
    """What was found, in the order of the text, without overlaps: where two kinds claim the same characters, the one
    with the harder evidence has them."""
    taken, covered = [], bytearray(len(text))
    for kind in (each for each in _FINDERS if each in set(kinds)):
        for start, end in _FINDERS[kind](text):
            if covered.find(1, start, end) < 0:
                taken.append(Hit(kind, start, end))
                covered[start:end] = b"\x01" * (end - start)
    return sorted(taken, key=lambda hit: hit.start)


def redacted(text: str, kinds: Iterable[str]) -> str:
    """The text with each find of these kinds replaced by its placeholder. All kinds are looked for, so that a digit run
    inside a secret is not taken for a phone number when only phones are asked for."""
    wanted, made, place = set(kinds), [], 0
    for hit in hits(text):
        if hit.kind in wanted:
            made += [text[place : hit.start], PLACEHOLDERS[hit.kind]]
            place = hit.end
    return "".join(made) + text[place:]


def counted(texts: Iterable[str]) -> Counter[str]:
    return Counter(hit.kind for text in texts for hit in hits(text))


# Secrets: the prefixes that their issuers document, and values of high entropy given to a name that says what they are.

_TOKENS = re.compile(
    r"""\b(?:
      (?:AKIA|ASIA)[0-9A-Z]{16}                                  # AWS
    | gh[pousr]_[A-Za-z0-9]{36,255} | github_pat_\w{60,255}      # GitHub
    | glpat-[\w-]{20,64}                                         # GitLab
    | xox[abeoprs]-[A-Za-z0-9-]{10,250}                          # Slack
    | [rs]k_(?:live|test)_[A-Za-z0-9]{16,250}                    # Stripe
    | AIza[\w-]{35}                                              # Google
    | sk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{20,250}           # OpenAI, Anthropic
    | hf_[A-Za-z0-9]{30,64} | npm_[A-Za-z0-9]{36} | pypi-[\w-]{50,250} | SG\.[\w-]{16,64}\.[\w-]{16,64}
    | eyJ[\w-]{8,2000}\.eyJ[\w-]{8,4000}\.[\w-]{8,2000}          # JSON web token
    )(?![\w-])""",
    re.VERBOSE,
)
_KEY_BLOCK = re.compile(
    r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----.{0,20000}?(?:-----END [A-Z ]{0,40}-----|\Z)",
    re.DOTALL,
)
_IN_URL = re.compile(r"\b[a-z][a-z0-9+]{1,10}://[^\s:@/]{1,64}:([^\s:@/]{3,128})@")
_ASSIGNED = re.compile(
    r"""(?ix) \b[\w-]{0,30}(?:api[_-]?key|access[_-]?key|secret|token|passw(?:or)?d|pwd|credential)[\w-]{0,20}["']?
        \s{0,3}(?:=|:|=>|\bis\b)\s{0,3} ["'`]? ([^\s"'`,;<>(){}\[\]]{8,200})"""
)
_NOT_A_SECRET = re.compile(
    r"(?i)^(?:\$|%|\*+$|x{4,}|your|example|changeme|placeholder|pass(?:word|wd)?$|none|null|true|false|https?:)"
)
_BITS = 3.0  # a character: English words have about 2.5 in so short a string, random letters and digits above 3.5


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (_KEY_BLOCK, _TOKENS):
        yield from (found.span() for found in pattern.finditer(text))
    yield from (found.span(1) for found in _IN_URL.finditer(text) if not _NOT_A_SECRET.match(found.group(1)))
    yield from (found.span(1) for found in _ASSIGNED.finditer(text) if _random(found.group(1)))


def _random(value: str) -> bool:
    mixed = any(each.isdigit() for each in value) and any(each.isalpha() for each in value)
    return mixed and not _NOT_A_SECRET.match(value) and _entropy(value) >= _BITS


def _entropy(value: str) -> float:
    """Bits a character (Shannon)."""
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(share * math.log2(share) for share in shares)


# E-mail addresses, with a top-level domain of letters: pkg@1.2.3 and git@host:path are none, nor is ftp://user:password@host.

_EMAIL = re.compile(r"(?<![\w.+%-])(?!git@)[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,5}[A-Za-z]{2,24}(?![\w-])")

_USER_IN_URL = re.compile(r"://[^\s/@]{0,64}$")


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        found = (each.span() for each in _EMAIL.finditer(text))
        yield from (span for span in found if not _USER_IN_URL.search(text, max(0, span[0] - 80), span[0]))


# Bank accounts: ISO 13616, with each country's length and the checksum mod 97 (ISO 7064).

_IBAN = re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS",
    23: "AE GI IL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "PT",
    26: "IS TR",
    27: "FR GR IT MC MR SM",
    28: "AL AZ CY DO GT HU LB PL",
    29: "BR PS QA",
    30: "JO KW MU",
    31: "MT",
}
_IBAN_LENGTHS = {country: length for length, countries in _COUNTRIES.items() for country in countries.split()}


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(found.group()[:2], 0)
        places = [place for place in range(*found.span()) if text[place] != " "][:length]
        account = "".join(text[place] for place in places)
        if length and len(account) == length and iban_checks(account):
            yield places[0], places[-1] + 1


def iban_checks(account: str) -> bool:
    return int("".join(str(int(each, 36)) for each in account[4:] + account[:4])) % 97 == 1


# Payment cards: the issuers' prefixes and lengths, and the Luhn checksum (ISO/IEC 7812).

_CARD = re.compile(
    r"(?<![\w.-])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|3[47]\d{2}([ -]?)\d{6}\2\d{5})(?![\w-])(?!\.\d)"
)
_ISSUERS = re.compile(
    r"(?:4\d{15}|4\d{18}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35\d{14})\Z"
)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        if _ISSUERS.match(digits) and luhn_checks(digits):
            yield found.span()


def luhn_checks(digits: str) -> bool:
    doubled = [int(each) * (1 + place % 2) for place, each in enumerate(reversed(digits))]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


# Addresses of machines. Those that stand for no machine (loopback, any, masks) and version numbers are left.

_IP4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IP6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_VERSION_BEFORE = re.compile(r"(?i)(?:\bv|\bver\.?|versions?|release|build|section|chapter|firmware|[>=~^]=?) ?$")


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (_IP4, _IP6):
        for found in pattern.finditer(text):
            if _is_machine(found.group()) and not _VERSION_BEFORE.search(
                text, max(0, found.start() - 12), found.start()
            ):
                yield found.span()


def _is_machine(written: str) -> bool:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast or written.startswith("255."))


# Phone numbers: international ones as libphonenumber knows them; national ones in North America's writing, or after a
# word that announces one.

_ABROAD = re.compile(r"\+\(?\d")
_AMERICAN = re.compile(r"(?<![\w.+-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w-])(?!\.\d)")
_ANNOUNCED = re.compile(
    r"(?i)\b(?:phone|tel|telephone|mobile|cell|call|fax|whatsapp|ring|dial|text)\b[^\n\d+]{0,20}"
    r"(\(?\d[\d ()./-]{5,16}\d)(?![\w-])"
)
_OTHER_NUMBER_BEFORE = re.compile(
    r"(?i)(?:order|invoice|ticket|case|ref(?:erence)?|serial|part|isbn|sku|id)\W*(?:no\.?|number|#)?\W*$"
)
_DIGITS = range(7, 16)  # of a phone number without its country (ITU E.164)


def _phones(text: str) -> Iterator[tuple[int, int]]:
    import phonenumbers

    if _ABROAD.search(text):
        matches = phonenumbers.PhoneNumberMatcher(text, None)
        yield from (
            (each.start, each.end) for each in matches if not text[max(0, each.start - 1) : each.start].isalnum()
        )
    for found in _AMERICAN.finditer(text):
        number = phonenumbers.parse(found.group(), "US")
        if phonenumbers.is_possible_number(number) and not _other_number(text, found.start()):
            yield found.span()
    for found in _ANNOUNCED.finditer(text):
        if len(re.sub(r"\D", "", found.group(1))) in _DIGITS and not _is_date(found.group(1)):
            yield found.span(1)


def _other_number(text: str, start: int) -> bool:
    return bool(_OTHER_NUMBER_BEFORE.search(text, max(0, start - 24), start))


def _is_date(written: str) -> bool:
    return bool(re.match(r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})\b", written))


_FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "secret": _secrets, "email": _emails, "iban": _ibans, "card": _cards, "ip": _addresses, "phone": _phones,
}  # fmt: skip
