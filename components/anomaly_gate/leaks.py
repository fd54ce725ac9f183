"""Features that are the label under another name, found in the pass over the examples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Vectors up to this long are compared position by position, too.
COMPARED_POSITIONS = 64

# Distinct values that are remembered of a feature; beyond that, only equal ones are looked for.
_MOST_VALUES = 10_000
# Largest chance that an independent feature would go with the label as well, for all features together.
_CHANCE = 1e-3

_ABSENT = ()


@dataclass
class Pairing:
    """A feature, or a position of a vector, beside a label.

    Attributes:
        equal: Whether each example has had the label's own value.
        labels: Value → the label that it always had; None if the two do not go together one to one.
    """

    equal: bool = True
    labels: dict[Hashable, Hashable] | None = field(default_factory=dict)
    _values: dict[Hashable, Hashable] = field(default_factory=dict)

    def add(self, value: Hashable, label: Hashable) -> bool:
        """Takes an example; returns whether value and label may still be one thing."""
        self.equal = self.equal and value == label
        if self.labels is not None and (
            self.labels.setdefault(value, label) != label
            or self._values.setdefault(label, value) != value
            or len(self.labels) > _MOST_VALUES
        ):
            self.labels, self._values = None, {}
        return self.equal or self.labels is not None


@dataclass(frozen=True)
class Leak:
    """A feature that says what the label is.

    Attributes:
        feature: Its name.
        position: Of the value, in a vector; None for all values of the feature.
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
        self._first_label: Hashable = None
        # Copies of an example say nothing more: each label is counted once for each distinct example.
        self._labels: Counter[Hashable] = Counter()

    def add(self, label: Hashable, features: Mapping[str, Sequence[Any]], is_copy: bool) -> None:
        """Takes an example.

        Args:
            label: Its label.
            features: Feature → its values; without labels.
            is_copy: Whether an earlier example has the same features.
        """
        for name in features.keys() - self._seen:
            self._start(name, features[name])
        for key, pairing in list(self._pairs.items()):
            if not pairing.add(_value(features.get(key[0], _ABSENT), key[1]), label):
                del self._pairs[key]
        if not self._labels:
            self._first_label = label
        if not is_copy or label not in self._labels:
            self._labels[label] += 1
        self.examples += 1

    def _start(self, name: str, values: Sequence[Any]) -> None:
        self._seen.add(name)
        positions = range(len(values)) if 1 < len(values) <= COMPARED_POSITIONS else ()
        self._compared += 1 + len(positions)
        if not self.examples:
            self._pairs.update({(name, position): Pairing() for position in positions})
        if len(self._labels) < 2:
            self._pairs[name, None] = Pairing()
            if self.examples:  # which had no value, and all the same label
                self._pairs[name, None].add(_ABSENT, self._first_label)

    def leaks(self) -> Iterator[Leak]:
        """The features that go with the label in every example, more than chance explains."""
        count = len(self._labels)
        if count < 2:
            return
        # A shuffled feature would be equal to the label in 1 of n! / (n1! n2! …) orders, and go with it one to one
        # in k! times as many: nothing follows if all k labels differ.
        examples = sum(self._labels.values())
        chance = sum(math.lgamma(of_label + 1) for of_label in self._labels.values()) - math.lgamma(
            examples + 1
        )
        limit = math.log(_CHANCE / self._compared)
        for (name, position), pairing in self._pairs.items():
            if chance + (0 if pairing.equal else math.lgamma(count + 1)) < limit:
                yield Leak(name, position, pairing.equal, count)


def _value(values: Sequence[Any], position: int | None) -> Hashable:
    if position is not None:
        return values[position] if position < len(values) else _ABSENT
    return values[0] if len(values) == 1 else tuple(values)
