"""Why candidates of a run were not judged."""

from __future__ import annotations

from collections.abc import Iterable

from components.evaluator.judgement import Failure, FailureKind
from pipeline.store.records import NodeFailure


def by_candidate(failures: Iterable[NodeFailure]) -> dict[str, Failure]:
    """Candidate → why it was not judged."""
    return {
        candidate: Failure(
            FailureKind.NODE_FAILED,
            f"node {failure.node} failed: {failure.reason}",
            failure.node,
            failure.traceback,
        )
        for failure in failures
        for candidate in failure.candidates
    }
