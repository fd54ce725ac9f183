"""Features that are the label under another name, found in the pass over the examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from components.anomaly_gate.column import ABSENT, Column, Fingerprints

# Vectors up to this long are compared position by position, too.
COMPARED_POSITIONS = 64

# Distinct values that are remembered of a feature; beyond that, only equal ones are looked for.
_MOST_VALUES = 10_000
# Largest chance that an independent feature would go with the label as well, for all features together.
_CHANCE = 1e-3
# The first examples of a batch are looked at first: they rule most features out.
_ENDS = (16, 256)


@dataclass
class Pairing:
    """A feature, or a position of a vector, beside a label.

    Attributes:
        equal: Whether each example has had the label's own value.
        pairs: (pairs, 2) fingerprints of value and label that went together; None if they do not go together one to
            one.
    """

    equal: bool = True
    pairs: Fingerprints | None = field(default_factory=lambda: np.empty((0, 2), np.uint64))

    @property
    def may_be_one(self) -> bool:
        """Whether value and label may still be one thing."""
        return self.equal or self.pairs is not None

    def add(self, values: Column, label: Column) -> None:
        """Takes examples: the feature's values, and the label's."""
        self.equal = self.equal and values.equals(label)
        if self.pairs is None:
            return
        if values.has_nan() or label.has_nan():  # which is not equal to itself
            self.pairs = None
        else:
            self.add_pairs(np.stack([values.fingerprints(), label.fingerprints()], axis=1))

    def add_pairs(self, pairs: Fingerprints) -> None:
        """Takes (examples, 2) fingerprints of value and label."""
        assert self.pairs is not None
        known = np.unique(np.concatenate([self.pairs, pairs]), axis=0)
        one_to_one = all(len(np.unique(side)) == len(known) for side in known.T)
        self.pairs = known if one_to_one and len(known) <= _MOST_VALUES else None


@dataclass(frozen=True)
class Leak:
    """A feature that says what the label is.

    Attributes:
        feature: Its name.
        position: Position of the value, in a vector; None for all values of the feature.
        equal: Whether it is the label; else its values and the label's go together one to one.
        labels: Number of distinct labels.
    """

    feature: str
    position: int | None
    equal: bool
    labels: int


class Pairings:
    """All features beside one label. Most are dropped after a few examples, so that the pass stays cheap."""

    def __init__(self) -> None:
        self.examples = 0
        self._pairs: dict[tuple[str, int | None], Pairing] = {}
        self._seen: set[str] = set()
        self._compared = 0
        self._first_label = ABSENT
        self._several_labels = False
        self._labels: list[Fingerprints] = []
        self._rows: list[npt.NDArray[np.int64]] = []
        # Copies of an example say nothing more: each label is counted once for each distinct example.
        self._counts = np.empty(0, np.int64)

    def add(self, label: Column, features: Mapping[str, Column], rows: npt.NDArray[np.int64]) -> None:
        """Takes examples that have a label.

        Args:
            label: The label.
            features: Feature → its values, of the same examples; without labels.
            rows: (examples,) numbers of the examples in the split.
        """
        for name in sorted(features.keys() - self._seen):
            if features[name].present.any():
                self._start(name, features[name])
        absent = Column(
            "int", np.empty(0, np.int64), np.full(len(label), -1), np.zeros(len(label), np.int64)
        )
        for chosen in np.split(np.arange(len(label)), [end for end in _ENDS if end < len(label)]):
            labels = label.take(chosen)
            for (name, position), pairing in list(self._pairs.items()):
                values = features.get(name, absent).take(chosen)
                pairing.add(values if position is None else values.single(position), labels)
                if not pairing.may_be_one:
                    del self._pairs[name, position]
        found = label.fingerprints()
        if not self.examples:
            self._first_label = found[0]
        self._several_labels = self._several_labels or bool((found != self._first_label).any())
        self._labels.append(found)
        self._rows.append(rows)
        self.examples += len(label)

    def _start(self, name: str, values: Column) -> None:
        self._seen.add(name)
        length = int(values.lengths[np.argmax(values.present)])
        positions = range(length) if 1 < length <= COMPARED_POSITIONS else ()
        self._compared += 1 + len(positions)
        if not self.examples and values.present[0]:
            self._pairs.update({(name, position): Pairing() for position in positions})
        if not self.examples:
            self._pairs[name, None] = Pairing()
        elif not self._several_labels:  # no example had a value, and all had the same label
            pairing = self._pairs[name, None] = Pairing(equal=False)
            pairing.add_pairs(np.array([[ABSENT, self._first_label]]))

    def finish(self, first: npt.NDArray[np.int64]) -> None:
        """Counts labels after the last example.

        Args:
            first: Numbers of the examples that are not copies of an earlier one: the features are others.
        """
        every, rows = np.concatenate(self._labels), np.concatenate(self._rows)
        _, first_of_label, of = np.unique(every, return_index=True, return_inverse=True)
        counted = np.isin(rows, first)
        counted[first_of_label] = True
        self._counts = np.bincount(of[counted])

    def leaks(self) -> Iterator[Leak]:
        """The features that go with the label in every example, more than chance explains."""
        count = len(self._counts)
        if count < 2:
            return
        # A shuffled feature would be equal to the label in 1 of n! / (n1! n2! …) orders, and go with it one to one
        # in k! times as many: nothing follows if all k labels differ.
        chance = gammaln(self._counts + 1).sum() - gammaln(self._counts.sum() + 1)
        limit = np.log(_CHANCE / self._compared)
        for (name, position), pairing in self._pairs.items():
            if chance + (0 if pairing.equal else gammaln(count + 1)) < limit:
                yield Leak(name, position, pairing.equal, count)
