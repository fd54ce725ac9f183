"""Judging a TFLite file by its content: the invariants of its layers, and its types."""

from __future__ import annotations

from collections.abc import Iterable

from components.common.models.invariants import Check
from components.common.tflite.file_types import TypeCheck
from components.evaluator.judgement import FailureKind, Figure, Judgement, Kind


def judge_invariants(checks: Iterable[Check]) -> list[Judgement]:
    """A judgement for each invariant of each layer.

    Args:
        checks: Of the file's kernels.
    """
    found = []
    for check in checks:
        figure = Figure(
            f"{check.figure}[{check.layer}]", Kind.INVARIANT, aspect=check.figure, layer=check.layer
        )
        failure = FailureKind.NOT_MEASURED if check.got is None else FailureKind.BEYOND_LIMIT
        found.append(
            Judgement.on(
                figure,
                check.bound,
                check.wanted,
                check.got,
                check.reason(" in the file"),
                None if check.met else failure,
                tolerance=check.invariant.tolerance or None,
            )
        )
    return found


def judge_types(checks: Iterable[TypeCheck]) -> list[Judgement]:
    """A judgement for each type that the conversion asked for."""
    found = []
    for check in checks:
        weights = check.part == "weights"
        figure = Figure(
            check.figure,
            Kind.TYPE,
            aspect=check.part,
            layer=check.name if weights else None,
            tensor=None if weights else check.name or None,
        )
        failed = None if check.met else FailureKind.WRONG_TYPE
        found.append(Judgement.on(figure, "type", None, None, check.reason, failed))
    return found
