"""The search that a run is part of, as lines of its lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.tree import Tree

from pipeline.lineage.lines import line


def search_lines(document: Mapping[str, Any] | None, winner: str | None) -> list[Tree]:
    """The lines; none if the run is not part of a search.

    Args:
        document: As `pipeline.search.record` writes it.
        winner: The candidate that the run selected.
    """
    if not document:
        return []
    looked = len(document.get("history", ()))
    after = (
        f", after {looked} trials in {document['round']} rounds"
        if looked
        else f", round {document['round']}"
    )
    lines = [
        (
            "search",
            f"study {document['study']}{after}, for {', '.join(document['objectives'])}, seed {document['seed']}",
        )
    ]
    trial = document["trials"].get(winner or "")
    if trial:
        values = ", ".join(f"{name} {value}" for name, value in trial["values"].items())
        run = next(
            (
                one["outcome"]["run"]
                for one in document.get("history", ())
                if one["number"] == trial["number"]
            ),
            "",
        )
        lines.append(("trial", f"{trial['number']}: {values}{f'; judged in run {run}' if run else ''}"))
    steps = "; ".join(json.dumps(step, ensure_ascii=False) for step in document["space"])
    return [Tree(line(name, text)) for name, text in [*lines, ("space", steps)]]
