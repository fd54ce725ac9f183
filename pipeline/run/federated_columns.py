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
    private = [] if found.epsilon is None else [Column("epsilon", number(found.epsilon, ".3g"), empty)]
    return [
        Column("traffic", bytes_text(found.traffic), empty),
        *private,
        Column("worst client", number(found.worst_client, ".4f"), empty),
    ]
