"""The data that are validated: both splits, as they are looked at."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.anomaly_gate.contents import Contents
from components.anomaly_gate.statistics import Anomaly

_LISTED = 5  # values in a message


@dataclass(frozen=True)
class Labels:
    """What is predicted.

    Attributes:
        features: Features that are labels, as far as the data have them.
        classes: Whether they stand for classes, and not for amounts.
        perhaps_amounts: Whether some may be amounts all the same: there are several labels, or a
            preprocessing_fn that may make classes of them.
        names: Every class of a text label, as far as the config lists them.
    """

    features: tuple[str, ...]
    classes: bool
    perhaps_amounts: bool
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Data:
    """Both splits, `train` and `eval`.

    Attributes:
        schema: As inferred from train.
        statistics: Split → TFDV's statistics.
        contents: Split → its contents.
        anomalies: What ExampleValidator found.
        labels: What is predicted.
    """

    schema: Any
    statistics: Mapping[str, Any]
    contents: Mapping[str, Contents]
    anomalies: Iterable[Anomaly]
    labels: Labels


def listed(values: Iterable[Any]) -> str:
    """The first of some values, for a message."""
    shown = [
        value.decode(errors="replace")
        if isinstance(value, bytes)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
        for value in itertools.islice(values, _LISTED + 1)
    ]
    return ", ".join(shown[:_LISTED]) + (", …" if len(shown) > _LISTED else "")
