"""Channels that can only be removed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# One number for each place of a tensor's last axis: the channel that is there.
Channels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pin:
    """Why channels stay.

    Attributes:
        layer: Name of the layer that needs them.
        reason: Why.
    """

    layer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"


class Units:
    """All channels of a model as disjoint sets: a unit is a set of channels that stay or go as one."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._pins: dict[int, Pin] = {}

    def new(self, count: int) -> Channels:
        """A number of channels, each a separate unit."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count, dtype=np.int64)

    def unit(self, channel: int) -> int:
        """The unit of a channel."""
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def count(self) -> int:
        """Number of channels, each of which may be the one that its unit goes by."""
        return len(self._parents)

    def of(self, channels: Channels) -> Channels:
        """The unit of each channel."""
        distinct, places = np.unique(channels, return_inverse=True)
        return np.array([self.unit(int(channel)) for channel in distinct], np.int64)[places]

    def tie(self, first: Channels, second: Channels) -> None:
        """Makes one unit of each pair of channels at the same place of two arrays of equal length."""
        for one, other in np.unique(np.stack([first, second]), axis=1).T:
            kept, gone = self.unit(int(one)), self.unit(int(other))
            if kept != gone:
                self._parents[gone] = kept
                if gone in self._pins:
                    self._pins.setdefault(kept, self._pins.pop(gone))

    def pin(self, channels: Channels, pin: Pin, foremost: bool = False) -> None:
        """Keeps the units of channels; the first reason of a unit counts, or one that is `foremost`."""
        for channel in np.unique(channels):
            unit = self.unit(int(channel))
            self._pins[unit] = pin if foremost else self._pins.get(unit, pin)

    def pin_of(self, unit: int) -> Pin | None:
        """Why a unit stays; None if it may go."""
        return self._pins.get(unit)


def first_pin(units: Units, members: Sequence[int] | Channels) -> Pin | None:
    """Why the first of some units stays that does; None if all of them may go."""
    return next((pin for unit in members if (pin := units.pin_of(int(unit))) is not None), None)
