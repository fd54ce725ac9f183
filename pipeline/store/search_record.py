"""The record of a search in each of its runs, and its trials. Imports neither TensorFlow, TFX nor Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal

from components.common.base.document import LEFT_OUT_IF_EMPTY, Document
from pipeline.config.search_domain import Values


class Fate(str, Enum):
    """How a trial ended."""

    PROPOSED = "proposed"
    PASSED = "passed"
    MISSED = "missed a limit"
    PRUNED = "pruned early"
    FAILED = "failed"

    __str__ = str.__str__


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial.

    Attributes:
        fate: PASSED, MISSED, PRUNED or FAILED.
        objectives: Value of each objective; empty if it failed.
        violation: By how much limits are missed, each as a share of the limit; 0 if it passed.
        figures: `accuracy`, `size` and `gzip_size`, as far as they were measured.
        reason: Why it did not pass; empty if it did.
        round: The round that it was in, from 1.
        run: Id of the round's run.
    """

    fate: Fate
    objectives: tuple[float, ...] = ()
    violation: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    round: int = 0
    run: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "fate": self.fate.value, "objectives": list(self.objectives)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Outcome:
        """From what `to_json` returns."""
        return cls(**{**values, "fate": Fate(values["fate"]), "objectives": tuple(values["objectives"])})


@dataclass(frozen=True)
class Trial:
    """A proposal.

    Attributes:
        number: From 0, in the order of the proposals; numbers of proposals that were not run are left out.
        values: Parameter → value.
        outcome: None as long as it has none.
    """

    number: int
    values: Values
    outcome: Annotated[Outcome | None, LEFT_OUT_IF_EMPTY] = None

    @property
    def name(self) -> str:
        """As the candidate of a config."""
        return f"trial-{self.number}"

    @property
    def fate(self) -> Fate:
        """How it ended."""
        return self.outcome.fate if self.outcome else Fate.PROPOSED


@dataclass(frozen=True)
class SearchRecord(Document):
    """The document about a search in the record of one of its runs.

    Attributes:
        study: Name of the study.
        part: `round`, or `last` for the run that judges on the eval split.
        round: Number of the round, from 1; of the last run, the number of rounds before it.
        seed: Of the proposals.
        objectives: What is searched for.
        space: The steps, as the config has them.
        trials: Candidate of this run → its trial.
        history: Of the last run: every trial with its outcome on the tune split.
        front: Of the last run: numbers of the trials that no other one is better than.
        importances: Of the last run: parameter → its share of what decides the first objective.
    """

    TITLE: ClassVar[str] = "record of a search"
    VERSION: ClassVar[int] = 1

    study: str
    part: Literal["round", "last"]
    round: int
    seed: int
    objectives: tuple[str, ...]
    space: tuple[dict[str, Any], ...]
    trials: Mapping[str, Trial]
    history: tuple[Trial, ...] = ()
    front: tuple[int, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
