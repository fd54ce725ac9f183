"""The Selector's report: every verdict, and the winner. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from components.common.base.document import Document, required
from components.evaluator.judgement import Failure
from components.evaluator.judging import conclude
from components.evaluator.verdict import Verdict
from components.selector.params import SelectOptions

REPORT_FILE = "report.json"


@dataclass(frozen=True)
class SelectorReport(Document):
    """The outcome of a run.

    Attributes:
        winner: The selected candidate; None if no candidate passed.
        select: What it was selected by.
        candidates: Candidate → its verdict, in the order of the config.
    """

    TITLE: ClassVar[str] = "selector's report"
    VERSION: ClassVar[int] = 2

    winner: str | None
    select: SelectOptions
    candidates: dict[str, Verdict]

    @classmethod
    def upgraded(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 had no version, and verdicts of version 1."""
        required(values, "winner", "select", "candidates")
        candidates = {name: Verdict.current(verdict) for name, verdict in values["candidates"].items()}
        return {**values, "candidates": candidates}

    def with_failures(self, failures: Mapping[str, Failure]) -> SelectorReport:
        """The same with what is known about candidates that were not judged: the Selector only sees that they are not.

        Args:
            failures: Candidate → why it was not judged.
        """
        verdicts = {name: conclude((), failures=[failure]) for name, failure in failures.items()}
        candidates = {name: verdicts.get(name, verdict) for name, verdict in self.candidates.items()}
        return dataclasses.replace(self, candidates=candidates)

    @property
    def passed(self) -> tuple[str, ...]:
        """The candidates that passed the gate."""
        return tuple(name for name, verdict in self.candidates.items() if verdict.blessed)
