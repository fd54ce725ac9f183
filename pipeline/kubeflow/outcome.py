"""How a task ended: one line of its log, which `paredown submit` reads.

KFP's API says of a task whether it succeeded, but neither why it failed nor what it did. It gives the task's log if
the installation allows it.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

KEY = "outcome"
"""Key of the outcome in a line of the log."""


class TaskOutcome(BaseModel):
    """How a task ended.

    Attributes:
        version: Version of this schema; fields are added without a new version.
        code: The process's exit code, one of `pipeline.base.exit_code`.
        reason: Why it failed; None if it did not.
        pushed: For the task that pushes: whether it pushed a model. None for all others.
        destination: Where it pushed the model to.
        verdict: For a task that judges a candidate: the JSON of its `components.evaluator.verdict.Verdict`.
        winner: For the task that selects: the candidate; empty if none passed.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: Literal[1] = 1
    code: int
    reason: str | None = None
    pushed: bool | None = None
    destination: str | None = None
    verdict: dict[str, Any] | None = None
    winner: str | None = None


def read(log: str) -> TaskOutcome | None:
    """The last outcome in a task's log; None if there is none of this version.

    KFP's launcher writes into the same log, before and after the task.
    """
    for line in reversed(log.splitlines()):
        try:
            return TaskOutcome.model_validate(json.loads(line)[KEY])
        except (ValueError, ValidationError, TypeError, KeyError):
            continue
    return None
