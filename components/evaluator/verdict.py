"""The verdict on a candidate: what the Evaluator writes and everybody else reads.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from components.common.base.document import Document
from components.evaluator import verdict_upgrade
from components.evaluator.judgement import Failure, Judgement
from components.evaluator.measured import Measured

VERDICT_FILE = "verdict.json"


@dataclass(frozen=True)
class Verdict(Document):
    """The outcome for a candidate.

    Attributes:
        blessed: Whether every limit is met and nothing failed.
        reasons: Why it is not blessed, for people, most telling first; empty if it is.
        judgements: Every limit.
        measured: The figures.
        failures: What could not be done at all; the first ones of `reasons`.
    """

    TITLE: ClassVar[str] = "verdict"
    VERSION: ClassVar[int] = 2

    blessed: bool
    reasons: tuple[str, ...]
    judgements: tuple[Judgement, ...]
    measured: Measured = field(default_factory=Measured)
    failures: tuple[Failure, ...] = ()

    @classmethod
    def upgraded(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        """See components.evaluator.verdict_upgrade."""
        return verdict_upgrade.from_version_1(values)

    @property
    def missed(self) -> tuple[Judgement, ...]:
        """The judgements that are not met."""
        return tuple(judgement for judgement in self.judgements if not judgement.met)
