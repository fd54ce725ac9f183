"""Spans and versions of data: what {SPAN}, {VERSION} and dates in a pattern stand for.

A span is data that belong together by time, say those of a day, and a version of it is a later edition of
the same. TFX's ExampleGen reads one span:
https://www.tensorflow.org/tfx/guide/examplegen#span_version_and_split
It is chosen here as ExampleGen's driver would, because Kubeflow Pipelines does not run that driver and
`paredown plan` has to know. Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.data_options import Range

_PLACEHOLDER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::([^}]*))?\}")
_DATE = ("YYYY", "MM", "DD")
_EPOCH = datetime.date(1970, 1, 1)


class SpanError(ValueError):
    """No span can be chosen; the message says what to write instead.

    Attributes:
        split: Input split whose pattern is at fault; None where it is `data.range`.
    """

    def __init__(self, message: str, split: str | None):
        super().__init__(message)
        self.split = split


@dataclass(frozen=True)
class Span:
    """What is read.

    Attributes:
        number: Of the span; a date is the number of days since 1970-01-01.
        version: None where patterns have no {VERSION}.
    """

    number: int
    version: int | None = None

    def fill(self, pattern: str) -> str:
        """The pattern with the span's and version's numbers for placeholders."""
        date = _EPOCH + datetime.timedelta(days=self.number) if _is_dated(pattern) else _EPOCH
        values = {
            "SPAN": self.number,
            "VERSION": self.version,
            "YYYY": date.year,
            "MM": date.month,
            "DD": date.day,
        }
        return _PLACEHOLDER.sub(lambda found: str(values[found[1]]).zfill(_width(found) or 1), pattern)

    def __str__(self) -> str:
        return f"span {self.number}" + ("" if self.version is None else f", version {self.version}")


def placeholders(pattern: str) -> list[str]:
    """The placeholders of a pattern, without braces and widths."""
    return [found[1] for found in _PLACEHOLDER.finditer(pattern)]


def choose(folder: str | Path, patterns: Mapping[str, str], wanted: Range | None) -> Span | None:
    """Chooses the span that is read, and the latest version of it.

    Args:
        folder: Where the files are.
        patterns: Input split → pattern.
        wanted: `data.range`; the latest span where it is None.

    Returns:
        None where the patterns have no placeholders.

    Raises:
        SpanError: Where placeholders do not go together, or splits have no span in common.
    """
    kinds = {split: set(placeholders(pattern)) for split, pattern in patterns.items()}
    if not any(kinds.values()):
        if wanted is not None:
            raise SpanError(
                "chooses among spans, and the patterns of data.splits have none; write {SPAN} or "
                "{YYYY}-{MM}-{DD} into them, or leave range out",
                None,
            )
        return None
    for split, pattern in patterns.items():
        _check_placeholders(split, pattern)
        other = next(iter(kinds))
        if kinds[split] != kinds[other]:
            raise SpanError(
                f"{pattern!r} and {patterns[other]!r}, the {other} split, have different placeholders; "
                "write the same into both",
                split,
            )
    number = _number(wanted)
    chosen: dict[str, Span] = {}
    for split, pattern in patterns.items():
        found = _spans(Path(folder), split, pattern)
        fitting = [span for span in found if number is None or span.number == number]
        if not fitting:
            there = ", ".join(map(str, sorted({span.number for span in found}))) or "none at all"
            raise SpanError(
                f"{pattern!r} matches no file"
                + (f" of span {number}, which data.range asks for" if number is not None else "")
                + f" in {folder}; spans that are there: {there}",
                split,
            )
        chosen[split] = max(fitting, key=lambda span: (span.number, span.version or 0))
    first, span = next(iter(chosen.items()))
    for split, other in chosen.items():
        if other != span:
            raise SpanError(
                f"{patterns[split]!r} is at {other}, and {patterns[first]!r}, the {first} split, at {span}; "
                "add the files that are missing"
                + (
                    "" if other.number == span.number else ", or choose a span that both have by data.range"
                ),
                split,
            )
    return span


def _number(wanted: Range | None) -> int | None:
    """Number of the span that is wanted; None for the latest."""
    if wanted is None or wanted.latest == 1:
        return None
    if wanted.first is not None and wanted.first == wanted.last:
        return wanted.first
    raise SpanError(
        "asks for several spans, and TFX's ExampleGen reads one at a time, whatever its range says; write "
        "{latest: 1}, or {first: 4, last: 4}, or a pattern such as 'span-*/train*' that takes all of them",
        None,
    )


def _is_dated(pattern: str) -> bool:
    return bool(set(_DATE) & set(placeholders(pattern)))


def _width(found: re.Match[str]) -> int | None:
    if found[1] in _DATE:
        return 4 if found[1] == "YYYY" else 2
    return int(found[2]) if found[2] else None


def _check_placeholders(split: str, pattern: str) -> None:
    if os.path.isabs(pattern):
        raise SpanError(
            f"{pattern!r} is not a pattern below data.path, such as 'span-{{SPAN}}/train*'", split
        )
    names = placeholders(pattern)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpanError(f"{pattern!r} has {{{twice[0]}}} twice; write it once", split)
    date = [name for name in _DATE if name in names]
    if date and len(date) < len(_DATE):
        missing = next(name for name in _DATE if name not in names)
        raise SpanError(f"{pattern!r} has {{{date[0]}}} and no {{{missing}}}; a date has all three", split)
    if date and "SPAN" in names:
        raise SpanError(
            f"{pattern!r} has a date and {{SPAN}}, which says the same; write one of them", split
        )
    if "VERSION" in names and not date and "SPAN" not in names:
        raise SpanError(
            f"{pattern!r} has {{VERSION}}, and a version is one of a span; write {{SPAN}}, too", split
        )
    for found in _PLACEHOLDER.finditer(pattern):
        if found[2] is None:
            around = pattern[found.start() - 1 : found.start()] + pattern[found.end() : found.end() + 1]
            if found[1] not in _DATE and set(around) & set("*?[]{}"):
                raise SpanError(
                    f"{pattern!r}: where the number of {found[0]} begins and ends cannot be told; write the "
                    f"number of digits, as {{{found[1]}:3}}, or a character between",
                    split,
                )
            continue
        if found[1] in _DATE:
            raise SpanError(f"{pattern!r}: {found[0]} has a width of its own; write {{{found[1]}}}", split)
        if not found[2].isdecimal() or not int(found[2]):
            raise SpanError(
                f"{pattern!r}: {found[0]} has no width; write the number of digits, as {{{found[1]}:3}}",
                split,
            )


def _spans(folder: Path, split: str, pattern: str) -> set[Span]:
    """Spans and versions that files of a split have."""
    expression = _expression(pattern)
    found = set()
    for path in folder.glob(re.sub(r"\*+", "*", _PLACEHOLDER.sub("*", pattern))):
        relative = path.relative_to(folder).as_posix()
        match = expression.fullmatch(relative)
        if match is None or not path.is_file():
            continue
        span = _span(match.groupdict())
        if span is None:
            raise SpanError(
                f"{pattern!r} matches {relative}, which has no date; rename or remove it", split
            )
        for name, number in match.groupdict().items():
            if name not in _DATE and len(number) > 1 and number[0] == "0" and f"{{{name}}}" in pattern:
                raise SpanError(
                    f"{pattern!r} matches {relative}, and TFX takes {number} for a number without zeros before "
                    f"it; write {{{name}:{len(number)}}}",
                    split,
                )
        found.add(span)
    return found


def _span(found: Mapping[str, str]) -> Span | None:
    version = int(found["VERSION"]) if "VERSION" in found else None
    if "SPAN" in found:
        return Span(int(found["SPAN"]), version)
    try:
        date = datetime.date(*(int(found[name]) for name in _DATE))
    except ValueError:
        return None
    return Span((date - _EPOCH).days, version)


def _expression(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression with a group for each placeholder."""
    parts, end = [], 0
    for found in _PLACEHOLDER.finditer(pattern):
        width = _width(found)
        parts += [_glob_expression(pattern[end : found.start()]), f"(?P<{found[1]}>\\d{{{width}}})"]
        if width is None:
            parts[-1] = f"(?P<{found[1]}>\\d+)"
        end = found.end()
    return re.compile("".join([*parts, _glob_expression(pattern[end:])]), re.ASCII)


def _glob_expression(text: str) -> str:
    parts = re.split(r"(\*|\?|\[[^]]+\])", text)
    within = {"*": "[^/]*", "?": "[^/]"}
    return "".join(
        within.get(part) or (part.replace("[!", "[^") if index % 2 else re.escape(part))
        for index, part in enumerate(parts)
    )
