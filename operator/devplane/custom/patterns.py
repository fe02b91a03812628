"""Why Go does not take a regular expression that a schema gives. Pure."""

from __future__ import annotations

import re

from devplane.schemas.violations import expression

_LOOKS = ("(?!", "(?=", "(?<!", "(?<=")


def pattern_error(pattern: str) -> str:
    """The words of Go's parser, or nothing where the pattern is good."""
    bare = re.sub(r"\\.", "__", pattern)
    for look in _LOOKS:
        if look in bare:
            shown = "(?<" if look.startswith("(?<") else look
            return f"error parsing regexp: invalid or unsupported Perl syntax: `{shown}`"
    if found := re.search(r"(?:^|[^\\])(\\[1-9])", pattern):
        return f"error parsing regexp: invalid escape sequence: `{found[1]}`"
    try:
        expression(pattern)
    except re.error as error:
        return f"error parsing regexp: {_words(error, pattern)}"
    return ""


def _words(error: re.error, pattern: str) -> str:
    at = error.pos or 0
    match error.msg:
        case "unterminated character set":
            return f"missing closing ]: `{pattern[at:]}`"
        case "missing ), unterminated subpattern":
            return f"missing closing ): `{pattern}`"
        case "unbalanced parenthesis":
            return f"unexpected ): `{pattern}`"
        case "nothing to repeat" | "multiple repeat":
            return f"missing argument to repetition operator: `{pattern[at : at + 1]}`"
        case "bad escape (end of pattern)":
            return "trailing backslash at end of expression: ``"
        case _:
            return f"{error.msg}: `{pattern[at:]}`"
