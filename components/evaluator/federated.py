"""Judging the federated training of the baseline, which all candidates share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from components.common.base.document import DocumentError
from components.common.base.limit_bounds import LimitBound
from components.evaluator.judgement import Failure, FailureKind, Figure, Judgement, Kind
from components.evaluator.judging import judge_figure
from components.evaluator.params import Gate
from components.federated_trainer.record import FederatedFigures, FederatedRecord

TRAFFIC = Figure("traffic of federated training", Kind.TRAFFIC)
EPSILON = Figure("epsilon", Kind.EPSILON)
WORST_CLIENT = Figure("worst client", Kind.WORST_CLIENT)


def figures_of(trained: str) -> tuple[FederatedFigures | None, list[Failure]]:
    """The figures of a training.

    Args:
        trained: Folder of the baseline as it was trained; empty if its training was not federated.

    Returns:
        The figures, and why they cannot be read if that is so.
    """
    try:
        found = FederatedRecord.of(trained) if trained else None
    except DocumentError as error:
        return None, [Failure(FailureKind.MEASUREMENT_FAILED, str(error))]
    return (found.figures() if found else None), []


def judge(found: FederatedFigures | None, gate: Gate) -> list[Judgement]:
    """A judgement for each limit."""
    values: list[tuple[Figure, str, float | None, Mapping[str, float]]] = [
        (TRAFFIC, "traffic", found.traffic if found else None, gate.traffic.bounds()),
        (EPSILON, "epsilon", found.whole_epsilon if found else None, gate.epsilon.bounds()),
        (WORST_CLIENT, "worst_client", found.worst_client if found else None, gate.worst_client.bounds()),
    ]
    return [
        one
        for figure, key, value, bounds in values
        for one in judge_figure(
            figure,
            cast("Mapping[LimitBound, float]", bounds),
            value,
            None,
            ascending=bool(found and found.higher_is_better),
            section=f"gate.{key}",
        )
    ]
