"""Where the runs of a search are made: on this machine, or on a cluster. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console

from components.evaluator.verdict import Verdict
from pipeline.config.config_file import ConfigFile
from pipeline.plan.plan import Plan
from pipeline.run.session import Stopped
from pipeline.store.search_record import SearchRecord


class Last(Protocol):
    """The result of the run that judged the best trials on the eval split."""

    @property
    def winner(self) -> str | None:
        """The selected candidate; None if no candidate passed."""

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""

    def show(self, console: Console) -> None:
        """Prints it."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""


@dataclass(frozen=True)
class Judged:
    """What a run found out about its trials.

    Attributes:
        run: Its id.
        verdicts: Candidate → its verdict.
        failures: Candidate without a verdict → why it has none.
    """

    run: str
    verdicts: Mapping[str, Verdict]
    failures: Mapping[str, str] = field(default_factory=dict)


class Place(Protocol):
    """Makes the runs of a search."""

    @property
    def key(self) -> str:
        """Distinguishes studies of one config in different places; empty for this machine."""

    def judge(self, file: ConfigFile, record: SearchRecord, trusted: bool) -> Judged | Stopped:
        """Runs trials, and pushes nothing.

        Args:
            file: The config of a round; its candidates are the trials.
            record: Of the run.
            trusted: Whether other trials have shown that the data and the baseline work. If so, nodes that only
                trials need may all fail.

        Raises:
            InvalidInput: If the data, the model or a step cannot work.
        """

    def conclude(self, file: ConfigFile, record: SearchRecord) -> Last | Stopped:
        """Judges the best trials on the eval split, and pushes the best one that passes; raises as `judge`."""


def only_trials_need(plan: Plan, node: str) -> bool:
    """Whether trials, but not the baseline, need a node: if it fails, only they do."""
    return node != plan.baseline and bool(plan.node(node).candidates)
