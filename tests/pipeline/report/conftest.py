"""A run that pushed, which many tests of the report read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.report.collection import collect
from pipeline.report.data import ReportData
from pipeline.store.records import Run
from tests.pipeline.report.made_run import MadeRun
from tests.pipeline.report.made_verdicts import passing


@pytest.fixture(scope="session")
def pushed_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeRun, Run]:
    """A run of three candidates, two of which pass; its pushed file is a folder that is gone."""
    folder: Path = tmp_path_factory.mktemp("pushed")
    made = MadeRun(folder)
    return made, made.whole(passing(), "pruned-int8", folder / "serving" / "1")


@pytest.fixture(scope="session")
def pushed(pushed_run: tuple[MadeRun, Run]) -> ReportData:
    """What the report knows of it."""
    made, run = pushed_run
    return collect(made.reader, run)
