"""Which client has which examples. Needs NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.common.base.errors import ParedownError

Indices = npt.NDArray[np.int64]
# Draws of shares after which a division that leaves a client without examples is given up.
_MOST_DRAWS = 100


class ClientSplitError(ParedownError, ValueError):
    """Examples cannot be divided among clients; the message says why."""


@dataclass(frozen=True)
class Split:
    """The examples of each client.

    Attributes:
        train: Client → indices of its train examples, sorted; at least one each.
        eval: Client → indices of its eval examples, sorted; may be empty.
    """

    train: Mapping[str, Indices]
    eval: Mapping[str, Indices]


def by_column(train: npt.NDArray[np.generic], evaluation: npt.NDArray[np.generic]) -> Split:
    """One client for each value of a column of the train split, in the values' order.

    Args:
        train: Value of each train example, (examples,).
        evaluation: Value of each eval example; those of no client belong to nobody.
    """
    found = {_name(value): np.flatnonzero(train == value) for value in np.unique(train)}
    measured = {_name(value): np.flatnonzero(evaluation == value) for value in np.unique(evaluation)}
    return Split(found, {name: measured.get(name, np.empty(0, np.int64)) for name in found})


def _name(value: np.generic | bytes | str) -> str:
    plain = value.item() if isinstance(value, np.generic) else value
    return plain.decode(errors="replace") if isinstance(plain, bytes) else str(plain)


def dirichlet(
    train: npt.NDArray[np.generic],
    evaluation: npt.NDArray[np.generic],
    concentration: float,
    count: int,
    seed: int,
) -> Split:
    """Divides the examples of each class by shares from a Dirichlet distribution, the same ones for both splits.

    Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution" (2019), https://arxiv.org/abs/1909.06335;
    shares are drawn for each class, as Yurochkin et al. (2019) and Flower do, so that every example is used once.

    Args:
        train: Class of each train example, (examples,).
        evaluation: Class of each eval example.
        concentration: α; the smaller, the fewer classes a client has.
        count: Clients.
        seed: Seed of the shares and of who gets which example.

    Raises:
        ClientSplitError: If no draw gives each client an example.
    """
    random = np.random.default_rng(seed)
    classes = np.unique(train)
    for _ in range(_MOST_DRAWS):
        shares = {value.item(): random.dirichlet(np.full(count, concentration)) for value in classes}
        found = _divided(train, shares, count, random)
        if all(len(indices) for indices in found):
            names = [f"client-{number:0{len(str(count - 1))}}" for number in range(count)]
            measured = _divided(evaluation, shares, count, random)
            return Split(dict(zip(names, found, strict=True)), dict(zip(names, measured, strict=True)))
    raise ClientSplitError(
        f"clients: of {_MOST_DRAWS} divisions of {len(train)} examples among {count} clients, each left a client "
        "without examples; raise dirichlet, or lower count"
    )


def _divided(
    labels: npt.NDArray[np.generic],
    shares: Mapping[float, npt.NDArray[np.float64]],
    count: int,
    random: np.random.Generator,
) -> list[Indices]:
    parts: list[list[Indices]] = [[] for _ in range(count)]
    for value, share in shares.items():
        indices = random.permutation(np.flatnonzero(labels == value))
        ends = np.round(np.cumsum(share)[:-1] * len(indices)).astype(np.int64)
        for part, own in zip(parts, np.split(indices, ends), strict=True):
            part.append(own)
    return [np.sort(np.concatenate(part)) for part in parts]


def drawn(clients: Sequence[str], count: int, seed: int, round_: int) -> list[str]:
    """The clients of a round, drawn without replacement, in the order of `clients`.

    Args:
        clients: All of them.
        count: How many to draw.
        seed: Seed of the training.
        round_: Number of the round.
    """
    random = np.random.default_rng([seed, round_])
    chosen = random.choice(len(clients), size=count, replace=False)
    return [clients[index] for index in np.sort(chosen)]
