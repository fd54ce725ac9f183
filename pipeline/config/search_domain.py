"""The values that an option of a searched step may take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# A value of a parameter as Optuna keeps it: a number, whether a step is there, or the JSON of a choice.
Value = bool | int | float | str

# Parameter → its value: what a trial proposes.
Values = dict[str, Value]

_RANGE, _CHOICES = "between", "choose"
# Digits of a number from a range without `step`.
_DIGITS = 3


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, which are included.

    Attributes:
        low, high: The ends; whole numbers if both are.
        step: Distance of two values; None if any number may be proposed.
        log: Whether proposals are spread over orders of magnitude.
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are proposed."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def ends(self) -> list[Value]:
        """The smallest and the largest value."""
        return [self.low, self.high]

    def value(self, proposed: Value) -> Any:
        """What to write for a proposal: with few digits."""
        return proposed if self.whole else float(f"{proposed:.{_DIGITS}g}")

    def __str__(self) -> str:
        step = f" in steps of {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{step}{', logarithmic' if self.log else ''}"


@dataclass(frozen=True)
class Choices:
    """Some values.

    Attributes:
        labels: The JSON of each.
    """

    labels: tuple[str, ...]

    def ends(self) -> list[Value]:
        """All of them: none is between two others."""
        return list(self.labels)

    def value(self, proposed: Value) -> Any:
        """What to write for a proposal."""
        return json.loads(str(proposed))

    def __str__(self) -> str:
        return ", ".join(label.strip('"') for label in self.labels)


Domain = Range | Choices


def found_in(
    options: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Each value of a step's options that is searched, with its path."""
    if isinstance(options, dict) and (_RANGE in options or _CHOICES in options):
        yield path, options
        return
    items = (
        options.items()
        if isinstance(options, dict)
        else enumerate(options)
        if isinstance(options, list)
        else ()
    )
    for key, value in items:
        yield from found_in(value, (*path, key))


def filled(options: Any, values: Mapping[str, Value], name: str) -> Any:
    """Options with the values of a trial.

    Args:
        options: As written.
        values: Parameter → proposed value.
        name: Of these options: the first parts of the parameters' names.
    """
    if isinstance(options, dict) and (_RANGE in options or _CHOICES in options):
        return domain_of(options).value(values[name])
    if isinstance(options, dict):
        return {key: filled(value, values, f"{name}.{key}") for key, value in options.items()}
    if isinstance(options, list):
        return [filled(value, values, f"{name}.{index}") for index, value in enumerate(options)]
    return options


def domain_of(written: Mapping[str, Any]) -> Domain:
    """The domain that a mapping describes.

    Raises:
        ValueError: If it does not describe one.
    """
    return _choices(written) if _CHOICES in written else _range(written)


def _choices(written: Mapping[str, Any]) -> Choices:
    _refuse_others(written, {_CHOICES})
    chosen = written[_CHOICES]
    if not isinstance(chosen, list) or len(chosen) < 2:
        raise ValueError("choose needs a list of at least two values; write e.g. {choose: [8, 16, 32]}")
    labels = tuple(json.dumps(value, sort_keys=True) for value in chosen)
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise ValueError(f"choose lists {twice[0]} twice; list each value once")
    return Choices(labels)


def _range(written: Mapping[str, Any]) -> Range:
    _refuse_others(written, {_RANGE, "step", "log"})
    ends, step, log = written[_RANGE], written.get("step"), written.get("log", False)
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(_is_number, ends)) or ends[0] >= ends[1]:
        raise ValueError(
            "between needs two numbers, the smaller one first; write e.g. {between: [0.5, 0.9]}"
        )
    if not isinstance(log, bool):
        raise ValueError("log must be true or false")
    if log and (ends[0] <= 0 or step is not None):
        raise ValueError("log: true needs numbers above 0, and no step")
    found = Range(ends[0], ends[1], step, log)
    if step is not None and not (_is_number(step) and 0 < step <= ends[1] - ends[0]):
        raise ValueError(f"step must be a number above 0, and at most {ends[1] - ends[0]:g}")
    if found.whole and step is not None and not isinstance(step, int):
        raise ValueError("step must be a whole number, as the ends of the range are")
    return found if found.whole else Range(float(ends[0]), float(ends[1]), step, log)


def _refuse_others(written: Mapping[str, Any], known: set[str]) -> None:
    others = [str(key) for key in written if key not in known]
    if others:
        raise ValueError(
            f"has the key {others[0]!r} beside {', '.join(sorted(known & set(written)))}; remove it"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
