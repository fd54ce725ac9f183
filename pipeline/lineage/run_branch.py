"""The run that made an artifact, with the decisions behind it, as a branch of its lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text
from rich.tree import Tree

from components.common.base.document import DocumentError
from pipeline.lineage.lines import clean, line
from pipeline.store.search_record import SearchRecord

if TYPE_CHECKING:
    from pipeline.store.records import Run


def run_branch(name: str, run: Run | None, documents: Mapping[str, Mapping[str, Any]]) -> Tree:
    """A run with its config, code, seed, search and environment.

    Args:
        name: The run's id.
        run: Its record; None if there is none.
        documents: SHA-256 → config, environment, data or search document.
    """
    head = Text("run", style="bold").append(f" {clean(name)}", "cyan")
    branch = Tree(head.append(f" {run.status}" if run else ""))
    if run is None or not run.config_hash:
        branch.add(Text("no record of config, code and environment", style="dim"))
        return branch
    branch.add(line("config", f"{run.config_path}, sha256 {run.config_hash}"))
    commit = run.git_commit or "no Git repository"
    commit += ", with changes that were not committed" if run.git_dirty else ""
    branch.add(line("code", f"Paredown {run.version}, commit {commit}"))
    branch.add(line("seed", str(run.seed)))
    document = documents.get(run.search_hash)
    if document:
        try:
            branch.children += search_lines(document, run.winner)
        except DocumentError as error:
            branch.add(line("search", str(error)))
    environment = documents.get(run.environment_hash)
    if environment:
        packages = environment.get("packages", {})
        named = ", ".join(f"{key} {packages[key]}" for key in sorted(packages))
        branch.add(line("on", f"{environment.get('cpu', '')}, Python {environment.get('python', '')}"))
        branch.add(line("with", named))
    return branch


def search_lines(document: Mapping[str, Any], winner: str | None) -> list[Tree]:
    """The search that a run is part of, as lines.

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
