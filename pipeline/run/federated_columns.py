"""Columns of the federated training, which the baseline's line has: all candidates begin with it."""

from __future__ import annotations

from collections.abc import Sequence

from components.common.base.quantities import bytes_text
from components.evaluator.verdict import Verdict
from pipeline.run.column import Column, number


def columns(verdicts: Sequence[Verdict]) -> list[Column]:
    """What clients sent and got, and the worst client; nothing if the baseline was trained on all examples together."""
    found = next((verdict.federated for verdict in verdicts if verdict.federated), None)
    if found is None:
        return []
    empty = ("",) * len(verdicts)
    # Of a candidate, with what the baseline's training cost.
    own = [
        verdict.federated if verdict.federated and verdict.federated.steps else None for verdict in verdicts
    ]
    traffic = tuple(bytes_text(one.traffic) if one else "" for one in own)
    epsilons = tuple(number(one.whole_epsilon, ".3g") if one else "" for one in own)
    private = [] if found.epsilon is None else [Column("epsilon", number(found.epsilon, ".3g"), epsilons)]
    return [
        Column("traffic", bytes_text(found.baseline_traffic), traffic),
        *private,
        Column("worst client", number(found.worst_client, ".4f"), empty),
    ]
