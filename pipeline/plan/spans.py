"""Spans and versions of data: what {SPAN}, {VERSION} and dates in a pattern mean.

A span is data that belong together in time, for example the data of a day, and a version is a later edition of a
span. TFX's ExampleGen reads one span:
https://www.tensorflow.org/tfx/guide/examplegen#span_version_and_split
The span is chosen here by the rules of ExampleGen's driver, because Kubeflow Pipelines does not run that driver and
`paredown plan` must know the span. Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.common.base.errors import ParedownError
from pipeline.config.data_options import Range

_PLACEHOLDER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::([^}]*))?\}")
_DATE = ("YYYY", "MM", "DD")
_EPOCH = datetime.date(1970, 1, 1)


class SpanError(ParedownError, ValueError):
    """No span can be chosen; the message says what to write instead.

    Attributes:
        split: Input split whose pattern is wrong; None if `data.range` is wrong.
    """

    def __init__(self, message: str, split: str | None):
        super().__init__(message)
        self.split = split


@dataclass(frozen=True)
class Span:
    """The data to read.

    Attributes:
        number: Number of the span; of a date, the number of days since 1970-01-01.
        version: None if patterns have no {VERSION}.
    """

    number: int
    version: int | None = None

    def fill(self, pattern: str) -> str:
        """The pattern with the numbers of the span and its version in place of placeholders."""
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
    """Chooses the span that is read, and its latest version.

    Args:
        folder: Where the files are.
        patterns: Input split → pattern.
        wanted: `data.range`; None for the latest span.

    Returns:
        None if the patterns have no placeholders.

    Raises:
        SpanError: If placeholders do not fit together, or splits have no span in common.
    """
    if not any(placeholders(pattern) for pattern in patterns.values()):
        if wanted is not None:
            raise SpanError(
                "chooses among spans, and the patterns of data.splits have none; write {SPAN} or "
                "{YYYY}-{MM}-{DD} into them, or remove range",
                None,
            )
        return None
    first, *_ = patterns
    for split, pattern in patterns.items():
        _check_placeholders(split, pattern)
        if set(placeholders(pattern)) != set(placeholders(patterns[first])):
            raise SpanError(
                f"{pattern!r} and {patterns[first]!r}, the {first} split, have different placeholders; "
                "write the same into both",
                split,
            )
    number = _number(wanted)
    chosen = {split: _newest(Path(folder), split, pattern, number) for split, pattern in patterns.items()}
    for split, span in chosen.items():
        if span != chosen[first]:
            choice = (
                ""
                if span.number == chosen[first].number
                else ", or choose a span that both have by data.range"
            )
            raise SpanError(
                f"{patterns[split]!r} is at {span}, and {patterns[first]!r}, the {first} split, at {chosen[first]}; "
                f"add the files that are missing{choice}",
                split,
            )
    return chosen[first]


def _newest(folder: Path, split: str, pattern: str, number: int | None) -> Span:
    """The newest version of a span, of the newest one if `number` is None."""
    found = _spans(folder, split, pattern)
    fitting = [span for span in found if number is None or span.number == number]
    if not fitting:
        there = ", ".join(map(str, sorted({span.number for span in found}))) or "none"
        wanted = "" if number is None else f" of span {number}, which data.range asks for,"
        raise SpanError(
            f"{pattern!r} matches no file{wanted} in {folder}; spans that exist: {there}", split
        )
    return max(fitting, key=lambda span: (span.number, span.version or 0))


def _number(wanted: Range | None) -> int | None:
    """Number of the span that is wanted; None for the latest."""
    if wanted is None or wanted.latest == 1:
        return None
    if wanted.first is not None and wanted.first == wanted.last:
        return wanted.first
    raise SpanError(
        "asks for several spans, but TFX's ExampleGen reads one at a time; write {latest: 1}, or {first: 4, last: 4}, "
        "or a pattern such as 'span-*/train*' that matches all of them",
        None,
    )


def _is_dated(pattern: str) -> bool:
    return bool(set(_DATE) & set(placeholders(pattern)))


def _width(found: re.Match[str]) -> int | None:
    if found[1] in _DATE:
        return 4 if found[1] == "YYYY" else 2
    return int(found[2]) if found[2] else None


def _check_placeholders(split: str, pattern: str) -> None:
    fault = _fault(pattern) or next(
        filter(None, (_fault_of_width(pattern, found) for found in _PLACEHOLDER.finditer(pattern))), ""
    )
    if fault:
        raise SpanError(f"{pattern!r}{fault}", split)


def _fault(pattern: str) -> str:
    """The fault of the placeholders of a pattern, as text that follows it; empty if there is none."""
    if os.path.isabs(pattern):
        return " is not a pattern below data.path, such as 'span-{SPAN}/train*'"
    names = placeholders(pattern)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return f" has {{{twice[0]}}} twice; write it once"
    date = [name for name in _DATE if name in names]
    if date and len(date) < len(_DATE):
        missing = next(name for name in _DATE if name not in names)
        return f" has {{{date[0]}}} but not {{{missing}}}; a date has all three"
    if date and "SPAN" in names:
        return " has both a date and {SPAN}; write one of them"
    if "VERSION" in names and not date and "SPAN" not in names:
        return " has {VERSION} without a span; write {SPAN}, too"
    return ""


def _fault_of_width(pattern: str, found: re.Match[str]) -> str:
    """The fault of the width of a placeholder; empty if there is none."""
    name, width = found[1], found[2]
    if name in _DATE:
        return "" if width is None else f": {found[0]} always has the same width; write {{{name}}}"
    if width is None:
        around = pattern[found.start() - 1 : found.start()] + pattern[found.end() : found.end() + 1]
        if set(around) & set("*?[]{}"):
            return (
                f": it is unclear where the number of {found[0]} begins and ends; write the number of digits, such as "
                f"{{{name}:3}}, or put a character between"
            )
    elif not width.isdecimal() or not int(width):
        return f": the width in {found[0]} is not a number of digits; write for example {{{name}:3}}"
    return ""


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
                f"{pattern!r} matches {relative}, whose numbers are not a date; rename or remove it", split
            )
        for name, number in match.groupdict().items():
            if name not in _DATE and len(number) > 1 and number[0] == "0" and f"{{{name}}}" in pattern:
                raise SpanError(
                    f"{pattern!r} matches {relative}, and TFX would look for {int(number)} in place of {number}; write "
                    f"{{{name}:{len(number)}}}",
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
