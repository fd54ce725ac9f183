"""Runs that are killed with SIGKILL at random moments: the store opens, pushes are whole, the next run completes."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import Project
from tests.e2e.small_table import check_push, make_table_project, sha256

pytestmark = [pytest.mark.soak, pytest.mark.e2e, pytest.mark.timeout(0)]

# Of each kind of run.
KILLS = int(os.environ.get("PAREDOWN_KILLS", "20")) // 2
SMALLEST = (
    *("--set", "candidates={float16: [{convert: {quantization: float16}}]}"),
    *("--set", "model.train.epochs=1", "--set", "gate.accuracy.min=0.01", "--set", "gate.accuracy.max_drop=0.9"),
    *("--set", "gate.accuracy.allow_weak_baseline=true"),
)  # fmt: skip


def run_arguments(seed: int) -> tuple[str, ...]:
    # Nodes of every other run are in processes of their own.
    parallel = f"run.parallel={1 + seed % 2}"
    return ("run", "pipeline.yaml", "--json", *SMALLEST, "--set", f"run.seed={seed}", "--set", parallel)


class Killing:
    """A project whose runs are killed."""

    def __init__(self, project: Project, seed: int):
        self.project = project
        self.moments = random.Random(seed)
        self.kills = self.completed = self.hot = 0
        for _ in range(2):
            begin = time.monotonic()
            self.complete(0)
            self.cached_run = time.monotonic() - begin  # of the second

    def complete(self, seed: int) -> dict[str, Any]:
        """Lets a run finish."""
        outcome = self.project.paredown(*run_arguments(seed))
        assert outcome.code == 0, outcome.err
        check_push(self.project, outcome.json())
        self.completed += 1
        return outcome.json()

    def kill(self, seed: int, longest: float) -> bool:
        """Kills a run at a random moment, and looks at what is left; returns whether it was still there."""
        before = self.versions()
        run = self.project.start(*run_arguments(seed))
        time.sleep(self.moments.uniform(0.0, longest))
        was_killed = run.kill()
        if was_killed:
            self.kills += 1
        else:
            assert run.code() == 0, run.err.read_text(encoding="utf-8")
        self.hot += any(
            path.read_bytes()[:1].strip(b"\0") for path in self.project.root.glob("**/*.sqlite-journal")
        )
        outcome = self.project.paredown("runs", "--json")
        assert outcome.code == 0, outcome.err
        for journal in self.project.root.glob("**/*.sqlite-journal"):
            # SQLite leaves one that its writer had not begun: it holds nothing to undo.
            assert journal.read_bytes()[:1] in (b"", b"\0"), "a journal that was not rolled back"
        # Unfinished: TFX had registered the run, and its own record was not written yet.
        assert outcome.json()["runs"][0]["status"] in ("interrupted", "unfinished", "pushed")
        now = self.versions()
        assert {name: now.get(name) for name in before} == before, "a pushed version changed"
        for name in now.keys() - before.keys():
            assert set(now[name]) == {"tflite", "labels.txt"}, "a version without its files"
            assert now[name]["tflite"] in self.judged(), "a pushed file that no verdict is on"
        return was_killed

    def versions(self) -> dict[str, dict[str, str]]:
        """Pushed version → file → SHA-256."""
        return {
            folder.name: {path.name: sha256(path) for path in folder.iterdir()}
            for folder in (self.project.root / "serving").glob("[0-9]*")
        }

    def judged(self) -> set[str]:
        """SHA-256 of each converted file; a verdict on it is held against its hash by Selector and Pusher."""
        return {
            sha256(path)
            for path in self.project.root.glob("**/convert-float16*/model/*/Format-Serving/tflite")
        }

    def partial(self) -> list[Path]:
        return list((self.project.root / "serving").glob(".*"))

    def __str__(self) -> str:
        return f"{self.kills} kills, {self.hot} in a transaction; {self.completed} runs completed"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_table_project(tmp_path_factory.mktemp("killed") / "project")


def test_kills_of_cached_runs(project: Project) -> None:
    killing = Killing(project, 20261130)
    pushed = killing.versions()
    while killing.kills < KILLS:
        killing.kill(0, killing.cached_run)
        assert killing.versions() == pushed
        if killing.kills % 20 == 0:
            print(killing, flush=True)
    killing.complete(0)
    assert killing.versions() == pushed
    print(f"cached: {killing}", flush=True)


def test_kills_of_runs_that_make_everything(project: Project) -> None:
    """Each run with a new seed is killed and run again until it is done; what was finished is not done again."""
    killing = Killing(project, 20261201)
    seed = 0
    while killing.kills < KILLS:
        seed += 1
        longest = 1.5 * killing.cached_run
        while killing.kills < KILLS and killing.kill(seed, longest):
            longest *= 1.05  # so that a slow node gets its time
            print(killing, flush=True)
        killing.complete(seed)
        assert killing.partial() == [], "what a killed push left was not removed by the next one"
    print(f"uncached: {killing}", flush=True)
