"""What runs left in the metadata store."""

from __future__ import annotations

from datetime import datetime
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline import report
from pipeline.base import since as times
from pipeline.base.shown import Shown
from pipeline.lineage import runs_table
from pipeline.lineage.store_choice import choose, find_run, list_all
from pipeline.lineage.target import LATEST
from pipeline.report import collection
from pipeline.report.data import ReportData
from pipeline.store.records import Run


class Runs(tuple[Run, ...], Shown):
    """Runs, newest first."""

    def show(self, console: Console) -> None:
        console.print(runs_table.runs_table(list(self)))

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
    return Runs(list_all(choose(metadata, _text(config)), status, moment, limit))


def read_run(
    run: str = LATEST, config: str | PathLike[str] | None = None, metadata: str | None = None
) -> ReportData:
    """Reads what a run left: verdicts, figures, layers, learning curves, what was pushed.

    Args:
        run: Its id, the beginning of an id that no other run has, or `latest`.
        config: As `runs` takes it.
        metadata: As `runs` takes it.

    Returns:
        All that the run's report shows; `verdicts` has each candidate's.

    Raises:
        TargetError: If no store knows the run.
        ChoiceError: If there is no store.
        StoreError: If a store cannot be read.
    """
    _, reader, found = find_run(choose(metadata, _text(config)), run)
    return collection.collect(reader, found)


def write_report(
    output: str | PathLike[str],
    run: str = LATEST,
    compare: str | None = None,
    config: str | PathLike[str] | None = None,
    metadata: str | None = None,
) -> Path:
    """Writes the report of a run as one HTML page: `paredown report`.

    Args:
        output: The file to write.
        run: As `read_run` takes it.
        compare: A second run: the page says what differs from it.
        config: As `runs` takes it.
        metadata: As `runs` takes it.

    Returns:
        The file.

    Raises:
        ReportError: If the file cannot be written.
        TargetError, ChoiceError, StoreError: As `read_run` does.
    """
    choice, output = choose(metadata, _text(config)), Path(output)
    _, reader, found = find_run(choice, run)
    if compare is None:
        report.write(reader, found, output)
    else:
        _, other_reader, other = find_run(choice, compare)
        report.write_comparison(other_reader, other, reader, found, output)
    return output


def _text(config: str | PathLike[str] | None) -> str | None:
    return None if config is None else fspath(config)
