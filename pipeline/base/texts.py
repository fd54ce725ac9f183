"""Figures and lists as people read them."""

from __future__ import annotations

import re

# Characters that a terminal obeys instead of showing them, that reorder a line, or that end it.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, keep: str = "") -> str:
    r"""Text from a file, a config or a server as one line that a terminal shows and does not obey.

    Args:
        text: Any text.
        keep: Characters to leave as they are, for example a newline.

    Returns:
        The text with control characters, bidirectional marks, line ends and surrogates as escapes: `\x1b`.
    """
    return _UNSEEN.sub(
        lambda found: found[0] if found[0] in keep else found[0].encode("unicode_escape").decode("ascii"),
        text,
    )


def excerpt(text: str, most: int = 60) -> str:
    """The beginning of a text, with `...` if it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def elided(text: str, most: int) -> str:
    """A text without its middle if it is longer than `most` characters: a fix at its end stays."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]} … {text[-most // 3 :]}"


def duration_text(seconds: float | None) -> str:
    """How long something took: `7.3 s`, `2 min 05 s`, `1 h 30 min`."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest:02} s"


def left_text(seconds: float) -> str:
    """How long something will still take, as roughly as it is known: `<10 s left`, `40 s left`, `12 min left`."""
    if seconds < 10:
        return "<10 s left"
    if seconds < 100:
        return f"{5 * round(seconds / 5)} s left"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min left" if minutes >= 60 else f"{minutes} min left"


def clock_text(seconds: float) -> str:
    """Time since a start as a clock shows it: `12:07`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def count_text(number: int, noun: str) -> str:
    """A number of things: `1 folder`, `1,200 folders`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
