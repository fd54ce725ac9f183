"""The runs that a metadata store knows."""

from __future__ import annotations

from datetime import datetime
from os import PathLike, fspath
from typing import Any

from rich.console import Console

from pipeline.base import since as times
from pipeline.base.shown import Shown
from pipeline.lineage import runs_table
from pipeline.lineage.store_choice import choose, list_all
from pipeline.store.records import Run


class Runs(tuple[Run, ...], Shown):
    """Runs, newest first."""

    def show(self, console: Console) -> None:
        console.print(runs_table.runs_table(list(self), console.width))

    def to_json(self) -> dict[str, Any]:
        """The runs as JSON values."""
        return {"runs": [runs_table.to_json(run) for run in self]}

    __str__ = Shown.__str__


def runs(
    config: str | PathLike[str] | None = None,
    metadata: str | None = None,
    status: str | None = None,
    since: datetime | str | None = None,
    limit: int | None = 20,
) -> Runs:
    """Lists runs, newest first: `paredown runs`.

    Args:
        config: Only runs of this pipeline: its name, or its YAML file, whose store is then read.
        metadata: URL of the metadata store, or an SQLite file; without it, the store of `config`, or all of
            `.paredown/*/metadata.sqlite` below the working directory.
        status: Only runs with this status: `pushed`, `none passed`, `failed` …
        since: Only runs since then: a time, or a text such as `2026-11-22` or `7d`.
        limit: At most this many; None for all.

    Raises:
        ChoiceError: If there is no store.
        StoreError: If a store cannot be read.
        ValueError: If `since` is not a time.
    """
    moment = times.parse(since) if isinstance(since, str) else since
    return Runs(
        list_all(choose(metadata, None if config is None else fspath(config)), status, moment, limit)
    )
