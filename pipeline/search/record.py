"""What the runs of a search record about it. Imports neither TensorFlow, TFX nor Optuna."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.search.trial import Trial


@dataclass(frozen=True)
class SearchRecord:
    """The document about a search in the record of one of its runs.

    Attributes:
        study: Name of the study.
        part: `round`, or `last` for the run that judges on the eval split.
        round: Number of the round, from 1; of the last run, the number of rounds before it.
        seed: Of the proposals.
        objectives: What is searched for.
        space: The steps, as the config has them.
        trials: Candidate of this run → its trial and the values of its parameters.
        history: Of the last run: every trial with its outcome on the tune split.
        front: Of the last run: numbers of the trials that no other one is better than.
        importances: Of the last run: parameter → its share of what decides the first objective.
    """

    study: str
    part: Literal["round", "last"]
    round: int
    seed: int
    objectives: Sequence[str]
    space: list[Any]
    trials: Mapping[str, Trial]
    history: Sequence[Trial] = ()
    front: Sequence[int] = ()
    importances: Mapping[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        found: dict[str, Any] = {
            "study": self.study,
            "part": self.part,
            "round": self.round,
            "seed": self.seed,
            "objectives": list(self.objectives),
            "space": self.space,
            "trials": {name: {"number": t.number, "values": t.values} for name, t in self.trials.items()},
        }
        if self.part == "last":
            found["history"] = [
                {
                    "number": trial.number,
                    "values": trial.values,
                    "outcome": trial.outcome.to_json() if trial.outcome else None,
                }
                for trial in self.history
            ]
            found["front"] = list(self.front)
            found["importances"] = dict(self.importances or {})
        return found
