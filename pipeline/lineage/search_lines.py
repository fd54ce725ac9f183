"""The search that a run is part of, as lines of its lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.tree import Tree

from pipeline.lineage.lines import line
from pipeline.store.search_record import SearchRecord


def search_lines(document: Mapping[str, Any], winner: str | None) -> list[Tree]:
    """The lines.

    Args:
        document: A `SearchRecord`, as JSON values.
        winner: The candidate that the run selected.

    Raises:
        DocumentError: If the document is damaged or from a newer version.
    """
    record = SearchRecord.from_json(document, "the record of the search")
    trials = len(record.history)
    after = f", after {trials} trials in {record.round} rounds" if trials else f", round {record.round}"
    study = f"study {record.study}{after}, for {', '.join(record.objectives)}, seed {record.seed}"
    lines = [("search", study)]
    trial = record.trials.get(winner or "")
    if trial:
        values = ", ".join(f"{name} {value}" for name, value in trial.values.items())
        known = next((one.outcome for one in record.history if one.number == trial.number), None)
        judged = f"; judged in run {known.run}" if known and known.run else ""
        lines.append(("trial", f"{trial.number}: {values}{judged}"))
    steps = "; ".join(json.dumps(step, ensure_ascii=False) for step in record.space)
    return [Tree(line(name, text)) for name, text in [*lines, ("space", steps)]]
