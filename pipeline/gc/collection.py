"""Garbage of several stores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipeline.config import metadata_url
from pipeline.gc import garbage, removal
from pipeline.gc.needs import KeepRules
from pipeline.lineage.store_choice import Choice, find_run
from pipeline.store.connection import connect


def collect(
    choice: Choice, keep_runs: int, keep_since: datetime | None, keep: Sequence[str], delete: bool
) -> list[tuple[str, garbage.Plan | removal.Removal]]:
    """Finds the garbage of each store, and removes it with `delete`.

    Args:
        choice: The stores.
        keep_runs: As `KeepRules.last`.
        keep_since: As `KeepRules.since`.
        keep: Ids of runs to keep, or their beginnings.
        delete: Whether to remove anything.

    Returns:
        URL of each store, and what would be or was removed.

    Raises:
        GarbageError: If a run is in progress.
        TargetError: If no store knows a run of `keep`.
    """
    named = [(url, run.id) for url, _, run in (find_run(choice, text) for text in keep)]
    outcomes: list[tuple[str, garbage.Plan | removal.Removal]] = []
    for url, reader in choice.stores():
        kept = tuple(run for kept_in, run in named if kept_in == url)
        rules = KeepRules(keep_runs, keep_since, kept, choice.pipeline)
        database = metadata_url.parse(url).path
        if delete:
            outcomes.append((url, removal.remove(reader, connect(url, write=True), rules, database)))
        else:
            outcomes.append((url, garbage.plan(reader, rules, database)))
    return outcomes
