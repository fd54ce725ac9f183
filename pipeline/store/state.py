"""How a run or one of its nodes went, in the words of every command, table and report."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """How a run or a node went; as text it is its value.

    A node is `running`, or has `ran`, was `cached`, `failed`, was `interrupted` or `skipped`. A run is
    `running`, or it `pushed`, found that `no candidate passed`, `failed` or was `interrupted`; a round of a search,
    which pushes nothing, `judged` its trials. A run on
    another machine that has not recorded how it ended is `unfinished`, as is an execution of which
    ML Metadata has no state.
    """

    RAN = "ran"
    CACHED = "cached"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    RUNNING = "running"
    UNFINISHED = "unfinished"
    PUSHED = "pushed"
    NONE_PASSED = "no candidate passed"
    JUDGED = "judged"

    __str__ = str.__str__

    @classmethod
    def _missing_(cls, value: object) -> State | None:
        return cls.RUNNING if value == "started" else None  # the word in older records


RUN_STATES = (
    State.PUSHED,
    State.NONE_PASSED,
    State.JUDGED,
    State.FAILED,
    State.INTERRUPTED,
    State.RUNNING,
    State.UNFINISHED,
)

# By the numbers of ml_metadata's Execution.State: unknown, new, running, complete, failed, cached, canceled.
EXECUTION_STATES = (
    State.UNFINISHED,
    State.RUNNING,
    State.RUNNING,
    State.RAN,
    State.FAILED,
    State.CACHED,
    State.INTERRUPTED,
)
