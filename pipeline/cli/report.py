"""`paredown report`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.api import reviewing
from pipeline.base import streams
from pipeline.cli import options


@click.command(epilog="Exit codes: 0 written, 2 no such run, or the page cannot be written.")
@click.argument("run", metavar="[RUN]", default="latest")
@click.option(
    "--compare",
    metavar="RUN",
    help="Compare with this run: show what differs, and both runs in each chart.",
)
@options.in_store
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    help="File to write.  [default: report.html]",
)
def report(run: str, compare: str | None, metadata: str | None, config: str | None, output: Path) -> None:
    """Write the report of a run as one HTML page.

    The page opens from disk without a network. It shows the verdicts, the candidates against the limits,
    accuracy against size and latency, learning curves, layers, slices, lineage, the config, and how to load the
    model. If a run failed or pushed nothing, it says what to try. `run` also writes this page, into the folder
    `reports` of its pipeline root.

    \b
    Examples:
      paredown report                                   # the latest run
      paredown report 2026-11-22T08 -o morning.html
      paredown report --compare 2026-11-22T08 latest -o difference.html
    """
    reviewing.write_report(output, run, compare, config, metadata)
    streams.answer(f"Written to {output}")
