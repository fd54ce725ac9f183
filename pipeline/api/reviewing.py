"""Records of runs in the metadata store."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

from pipeline import report
from pipeline.lineage.store_choice import choose, find_run
from pipeline.lineage.target import LATEST
from pipeline.report import collection
from pipeline.report.data import ReportData


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
