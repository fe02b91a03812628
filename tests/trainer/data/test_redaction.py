"""A small labelled set of invented texts: what must be found, and what looks like it and must be left."""

from collections import Counter

import pytest

from tunebird_trainer.data import redaction

pytest.importorskip("phonenumbers")

# Tokens are put together here so that no scanner takes this file for a leak.
AWS, GITHUB, SLACK = (
    "AKIA" + "QX7LMNOPZRTUVWX2",
    "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD3fG6",
    "xoxb-" + "123456789012-abcDEF",
)
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiJub2JvZHkifQ." + "c2lnbmF0dXJlLWhlcmU"
KEY = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA " + "PRIVATE KEY-----"

POSITIVE = [
    ("email", "Write to jane.doe@example.com today.", "jane.doe@example.com"),
    ("email", "cc: o'neil, a_b+tag@mail.example.co.uk;", "a_b+tag@mail.example.co.uk"),
    ("email", "<support@firm.io>", "support@firm.io"),
    ("email", "(x-1@sub.domain.org).", "x-1@sub.domain.org"),
    ("phone", "Ring +44 20 7946 0958 before noon.", "+44 20 7946 0958"),
    ("phone", "Meine Nummer ist +49 30 901820, danke.", "+49 30 901820"),
    ("phone", "Call (415) 555-2671 now.", "(415) 555-2671"),
    ("phone", "You can reach us at 212-555-0187.", "212-555-0187"),
    ("phone", "Tel.: 030 901820", "030 901820"),
    ("phone", "my mobile number is 07700 900123", "07700 900123"),
    ("card", "Card 4111 1111 1111 1111 expires soon", "4111 1111 1111 1111"),
    ("card", "paid with 5555555555554444.", "5555555555554444"),
    ("card", "amex 3782 822463 10005", "3782 822463 10005"),
    ("iban", "Pay DE89 3704 0044 0532 0130 00 BEFORE FRIDAY", "DE89 3704 0044 0532 0130 00"),
    ("iban", "GB29NWBK60161331926819, please", "GB29NWBK60161331926819"),
    ("ip", "The host 203.0.113.77 is down.", "203.0.113.77"),
    ("ip", "ping 192.168.17.4", "192.168.17.4"),
    ("ip", "over 2001:db8::8a2e:370:7334 now", "2001:db8::8a2e:370:7334"),
    ("secret", f"export AWS_ACCESS_KEY_ID={AWS}", AWS),
    ("secret", f"use {GITHUB} to push", GITHUB),
    ("secret", f"bot token {SLACK}", SLACK),
    ("secret", f"Authorization: Bearer {JWT}", JWT),
    ("secret", f"here:\n{KEY}\nbye", KEY),
    ("secret", 'api_key = "9fK2mQ7xLp4Zt8Wv"', "9fK2mQ7xLp4Zt8Wv"),
    ("secret", "password: hT9$kw2!vQ", "hT9$kw2!vQ"),
    ("secret", "postgres://app:s3cr3tpw@db/prod", "s3cr3tpw"),
]

NEGATIVE = [
    "Version 10.4.3.21 fixes it; so does v2.0.1.9.",
    "numpy>=1.26.4.0 and pkg@1.2.3 are pinned",
    "Bind to 127.0.0.1 or 0.0.0.0 with mask 255.255.255.0",
    "See section 3.1.4.2 of the manual.",
    "On 2024-01-02 at 12:30:45 we met; again on 03/04/2025.",
    "Order 4111-2222-3333-4445 was shipped.",  # no Luhn
    "Order number 415-555-2671 was shipped.",
    "ISBN 978-3-16-148410-0 and 9783161484100",
    "Ticket 1234567890123456 is open.",
    "git clone git@github.com:org/repo.git",
    "@dataclass and user@localhost are no addresses",
    "The token is the smallest unit; a secret: nobody tells.",
    "password: ******** or password: ${DB_PASSWORD}",
    'token = os.environ["TOKEN"]',
    "api_key: your_api_key_here1",
    "std::vector<int>::iterator and 10:20:30",
    "mac aa:bb:cc:dd:ee:ff",
    "DE89 3704 0044 0532 0130 01 has a wrong checksum",
    "The population was 1,234,567,890 in 1999.",
    "pi is 3.14159265358979323846",
    "sha 9e107d9d372bb6826bd81d3542a419d6",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    "I call 3 people, then text 2.",
    "We call 2024-01-02 a good day.",
    "What is 821091117+4908374100427?",
    "lftp ftp://username:password@ftp.test.org",
]


@pytest.mark.parametrize(("kind", "text", "found"), POSITIVE)
def test_each_kind_is_found_where_it_stands(kind, text, found):
    assert [(hit.kind, text[hit.start : hit.end]) for hit in redaction.hits(text)] == [(kind, found)]


@pytest.mark.parametrize("text", NEGATIVE)
def test_what_only_looks_like_it_is_left(text):
    assert redaction.redacted(text, redaction.PLACEHOLDERS) == text


def test_precision_and_recall_by_kind():
    right, wrong, missed = Counter(), Counter(), Counter()
    labelled = [*POSITIVE, *((None, text, None) for text in NEGATIVE)]
    for kind, text, found in labelled:
        hits = {(hit.kind, text[hit.start : hit.end]) for hit in redaction.hits(text)}
        right.update(each for each, _ in hits & {(kind, found)})
        wrong.update(each for each, _ in hits - {(kind, found)})
        missed.update(each for each, _ in ({(kind, found)} if kind else set()) - hits)
    for kind in redaction.PLACEHOLDERS:
        precision = right[kind] / (right[kind] + wrong[kind])
        recall = right[kind] / (right[kind] + missed[kind])
        print(f"{kind}: precision {precision:.2f}, recall {recall:.2f} of {right[kind] + missed[kind]}")
        assert precision >= 0.95
        assert recall >= 0.95


def test_only_the_kinds_asked_for_are_replaced():
    text = "jane@example.com from 203.0.113.77"
    assert redaction.redacted(text, ["ip"]) == "jane@example.com from [IP]"
    assert redaction.redacted(text, []) == text


def test_redacting_twice_changes_nothing():
    once = redaction.redacted(" ".join(text for _, text, _ in POSITIVE), redaction.PLACEHOLDERS)
    assert redaction.redacted(once, redaction.PLACEHOLDERS) == once


def test_a_long_line_of_near_misses_is_searched_in_linear_time():
    import time

    for piece in ("a.", "1 ", "a@b.", "key=", "AB12 ", "1.", "f:"):
        began = time.process_time()
        redaction.hits(piece * 20_000)
        assert time.process_time() - began < 3
