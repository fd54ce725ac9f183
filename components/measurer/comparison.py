"""How a candidate's predictions compare with the baseline's. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from components.common.base.document import LEFT_OUT_IF_EMPTY


@dataclass(frozen=True)
class Interval:
    """The ends of an interval; None if they are not known.

    Attributes:
        low: The lower end.
        high: The upper end.
    """

    low: float | None
    high: float | None


@dataclass(frozen=True)
class Uncertainty:
    """Bootstrap intervals of a metric; candidate and baseline are resampled as pairs.

    Attributes:
        confidence: Their level, 0.95.
        resamples: How often the examples were drawn.
        candidate: The candidate's value.
        difference: The candidate's value minus the baseline's.
        ratio: The candidate's value divided by the baseline's; None if that can be 0.
    """

    confidence: float
    resamples: int
    candidate: Interval
    difference: Interval
    ratio: Annotated[Interval | None, LEFT_OUT_IF_EMPTY] = None

    def drop(self, ascending: bool) -> Interval:
        """How much worse than the baseline the candidate is.

        Args:
            ascending: Whether a higher value of the metric is better.
        """
        low, high = self.difference.low, self.difference.high
        if not ascending:
            return self.difference
        return Interval(None if high is None else -high, None if low is None else -low)


@dataclass(frozen=True)
class Chance:
    """The value of a metric without any knowledge of an example.

    Attributes:
        constant: The metric of a constant prediction (the most common class, the mean); if one of them is as good as
            a perfect prediction, of the worst of them.
        perfect: The metric of predictions that are all right.
        margin: Share of the way from the constant prediction to the perfect one that a model has to go. What it
            reaches by luck on so few examples is less.
    """

    constant: float
    perfect: float
    margin: float

    def skill(self, value: float) -> float:
        """How far a value is on the way from the constant prediction (0) to the perfect one (1)."""
        return (value - self.constant) / (self.perfect - self.constant)


@dataclass(frozen=True)
class LostClass:
    """A class that the baseline finds and the candidate hardly does.

    Attributes:
        index: Index of the class.
        examples: Number of eval examples of it.
        candidate: The share of them that the candidate finds.
        baseline: The share that the baseline finds.
        name: The class, if labels are strings.
    """

    index: int
    examples: int
    candidate: float
    baseline: float
    name: Annotated[str | None, LEFT_OUT_IF_EMPTY] = None

    @property
    def text(self) -> str:
        """The finding in one sentence."""
        name = self.index if self.name is None else self.name
        return (
            f"the candidate finds {self.candidate:.0%} of the {self.examples:,} examples of class {name}, the "
            f"baseline {self.baseline:.0%}"
        )


@dataclass(frozen=True)
class ClassBalance:
    """How common the classes of the eval examples are.

    Attributes:
        most_common: Index of the most common class.
        share: Its share of the examples, which is the accuracy of always predicting it.
        lost: Classes that the candidate has lost.
        label: The feature that has the class.
    """

    most_common: int
    share: float
    lost: Annotated[tuple[LostClass, ...], LEFT_OUT_IF_EMPTY] = ()
    label: str = ""

    @property
    def text(self) -> str:
        """The share in one sentence."""
        return (
            f"{self.share:.1%} of the examples are of class {self.most_common}: always predicting it has an "
            f"accuracy of {self.share:.4f}"
        )
