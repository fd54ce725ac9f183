"""The data that are validated: both splits, and what is known of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.anomaly_gate.contents import Contents
from components.anomaly_gate.params import Labels
from components.anomaly_gate.statistics import Anomaly

_LISTED = 5  # values in a message


@dataclass(frozen=True)
class Data:
    """Both splits, `train` and `eval`.

    Attributes:
        schema: The schema inferred from train.
        statistics: Split → TFDV's statistics.
        contents: Split → its contents.
        anomalies: Anomalies that ExampleValidator found.
        labels: The features that are predicted.
    """

    schema: Any
    statistics: Mapping[str, Any]
    contents: Mapping[str, Contents]
    anomalies: Iterable[Anomaly]
    labels: Labels


def listed(values: Iterable[Any]) -> str:
    """The first few values, for a message."""
    shown = [
        value.decode(errors="replace")
        if isinstance(value, bytes)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
        for value in itertools.islice(values, _LISTED + 1)
    ]
    return ", ".join(shown[:_LISTED]) + (", …" if len(shown) > _LISTED else "")
