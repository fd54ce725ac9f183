"""How a client writes its update in fewer bytes. Needs NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.federated_trainer.aggregation import Vector
from components.federated_trainer.params import Updates

_LEVELS = 127


@dataclass(frozen=True, eq=False)
class Message:
    """An update as it was sent.

    Attributes:
        update: As the server reads it.
        parts: What is sent: the values; of int8, levels and the scale of each tensor; of top_k, indices and values.
    """

    update: Vector
    parts: tuple[npt.NDArray[Any], ...]

    @property
    def bytes(self) -> int:
        """Length of the message."""
        return sum(part.nbytes for part in self.parts)


def plain(update: Vector) -> Message:
    """An update as it is."""
    return Message(update, (update,))


def read(parts: Sequence[npt.NDArray[Any]], sizes: Sequence[int], options: Updates) -> Vector:
    """An update from what was sent.

    Args:
        parts: As a message has them.
        sizes: Number of values of each tensor.
        options: How it was written.
    """
    if options.compress == "int8":
        return _from_levels(parts[0], parts[1], sizes)
    if options.compress == "top_k":
        update = np.zeros(sum(sizes), np.float32)
        update[parts[0]] = parts[1]
        return update
    return parts[0]


def _from_levels(levels: npt.NDArray[Any], scales: npt.NDArray[Any], sizes: Sequence[int]) -> Vector:
    spread: Vector = np.repeat(scales.astype(np.float32), sizes)
    return spread * levels


def int8(update: Vector, sizes: Sequence[int], random: np.random.Generator) -> Message:
    """One signed byte for each value and one scale for each tensor, with stochastic rounding.

    The expected value of what is read is what was written, so that the errors of clients cancel out: QSGD, Alistarh et
    al. (2017), https://arxiv.org/abs/1610.02132.

    Args:
        update: Of all tensors, one after another.
        sizes: Number of values of each tensor.
        random: Source of the rounding.
    """
    levels = np.empty(update.size, np.int8)
    scales = np.ones(len(sizes), np.float32)
    start = 0
    for index, size in enumerate(sizes):
        part = update[start : start + size]
        largest = float(np.abs(part).max(initial=0.0))
        scale = largest / _LEVELS or 1.0
        whole = np.floor(part / scale + random.random(size, np.float32))
        levels[start : start + size] = np.clip(whole, -_LEVELS, _LEVELS)
        scales[index] = scale
        start += size
    return Message(_from_levels(levels, scales, sizes), (levels, scales))


def top_k(update: Vector, share: float) -> tuple[Message, Vector]:
    """The largest values with their indices, and what is left for the next update.

    Stich, Cordonnier and Jaggi, "Sparsified SGD with Memory" (2018), https://arxiv.org/abs/1809.07599.

    Args:
        update: The update, with what was left of the one before.
        share: Share of the values that is sent; at least one is.

    Returns:
        The message, and `update` less what it holds.
    """
    count = max(1, round(share * update.size))
    chosen = np.argpartition(np.abs(update), -count)[-count:]
    sent = np.zeros_like(update)
    sent[chosen] = update[chosen]
    return Message(sent, (chosen.astype(np.uint32), update[chosen])), update - sent


def compress(
    update: Vector,
    sizes: Sequence[int],
    options: Updates,
    residual: Vector | None,
    random: np.random.Generator,
) -> tuple[Message, Vector | None]:
    """An update as options say.

    Args:
        update: The change of a client's model.
        sizes: Number of values of each of its tensors.
        options: How to write it.
        residual: What error feedback has left of the client's earlier updates; None if that is nothing.
        random: Source of rounding.

    Returns:
        The message, and what is left for the client's next update; None if that is nothing.
    """
    if options.compress == "int8":
        return int8(update, sizes, random), None
    if options.compress == "top_k":
        return top_k(update if residual is None else update + residual, options.top_k)
    return plain(update), None
