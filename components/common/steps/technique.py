"""The interface of a technique to the rest of the program. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from components.common.base.step_options import StepOptions, TrainingOptions
from components.common.models.invariants import Invariant

Goal = Literal["size", "gzip_size", "latency", "accuracy"]


@dataclass(frozen=True)
class Chain:
    """The chain of a candidate that missed a limit, as one of its techniques, or one that it lacks, sees it.

    Attributes:
        own: Options of the last step of the technique, as its record has them; None if the chain lacks it.
        quantization: Quantization of the file.
        quantization_aware: Whether a step of the chain has trained for int8.
    """

    own: Mapping[str, Any] | None
    quantization: str
    quantization_aware: bool = False


@dataclass(frozen=True)
class Advice:
    """A technique's advice if a candidate misses a limit.

    Attributes:
        goal: What has to become better.
        rank: Among all advice for a goal, the lowest rank is given.
        text: What to change, as an imperative; empty if that does not apply to a chain.
        shown: Whether another candidate with the technique shows its effect.
    """

    goal: Goal
    rank: int
    text: Callable[[Chain], str]
    shown: bool = False


@dataclass(frozen=True)
class Technique:
    """One optimization technique: a step that a chain can have.

    Attributes:
        options: Model of its options, which names it.
        component: Dotted path of its TFX component. The executor is the module `executor` beside it.
        explanation: Dotted path of the function that says what it will do to each layer, untrained; it takes an
            `Outlook` and the options, and returns an `Explanation`.
        stage: Its place in a chain: stages never decrease along a chain. None if it may be anywhere before the
            conversion.
        repeatable: Whether a chain may have it more than once.
        closes: In words, why techniques of an earlier stage cannot follow it.
        builds_new_model: Whether it builds another model, so that it has to come first.
        converts: Whether it writes the file that is deployed, after which nothing can follow.
        asynchronous: Why the workers of a parameter server cannot train it, each at its own pace; empty if they
            can.
        invariants: What it may achieve in a layer and later steps keep.
        advice: What it offers if a candidate misses a limit.
    """

    options: type[StepOptions]
    component: str
    explanation: str
    stage: int | None
    repeatable: bool = False
    closes: str = ""
    builds_new_model: bool = False
    converts: bool = False
    asynchronous: str = ""
    invariants: tuple[type[Invariant], ...] = ()
    advice: tuple[Advice, ...] = ()

    @property
    def name(self) -> str:
        """Its name in a config, and in node ids."""
        return self.options.technique

    @property
    def trains(self) -> bool:
        """Whether it trains."""
        return issubclass(self.options, TrainingOptions)

    @property
    def executor(self) -> str:
        """Dotted path of the module that does its work."""
        return f"{self.component.rsplit('.', 2)[0]}.executor"

    def modules(self) -> tuple[str, ...]:
        """Dotted paths of the modules that later nodes measure and keep its invariants with."""
        found = [(kind.__module__, kind.projection.rpartition(".")[0]) for kind in self.invariants]
        return tuple(dict.fromkeys(module for pair in found for module in pair))
