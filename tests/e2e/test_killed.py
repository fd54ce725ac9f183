"""Runs that are killed with SIGKILL at random moments, as a machine that loses power KILLS them."""

from __future__ import annotations

import hashlib
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import Project, make_project

pytestmark = pytest.mark.e2e

KILLS = 3

CONFIG = """
name: killed
data: {path: data, splits: {train: "train*", eval: "test*"}, label: label}
model:
  module: model
  hparams: {filters: [2, 2], units: 4, learning_rate: 0.003}
  train: {epochs: 1, batch_size: 64}
candidates: {int8: [{convert: {quantization: int8, calibration_examples: 20}}]}
gate:
  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.99, allow_weak_baseline: true}
  size: {max_ratio: 0.99}
push: {directory: serving}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that runs as fast as one can."""
    made = make_project(tmp_path / "project", train=200, test=60)
    (made.root / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    return made


def run_arguments(seed: int) -> list[str]:
    # Nodes of every other one run in processes of their own.
    parallel = f"run.parallel={1 + seed % 2}"
    return ["run", "pipeline.yaml", "--json", "--set", f"run.seed={seed}", "--set", parallel]


def listed(project: Project) -> list[dict[str, Any]]:
    outcome = project.paredown("runs", "--json", "--limit", "0")
    assert outcome.code == 0, outcome.err
    return outcome.json()["runs"]


def versions(project: Project) -> dict[str, str]:
    """Pushed version → SHA-256 of its file; a version without its file has none."""
    found = {}
    for folder in (project.root / "serving").iterdir():
        if folder.name.isdecimal():
            file = folder / "tflite"
            found[folder.name] = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""
    return found


def test_a_killed_run_shows_as_interrupted_and_the_next_one_completes(project: Project) -> None:
    """The moments are random, each in its own part of the run. `make soak` has many more."""
    project.states()  # the imports are done, so that the time of the next is the run's
    begin = time.monotonic()
    complete = project.start(*run_arguments(1000))
    assert complete.code() == 0, complete.err.read_text()
    whole = time.monotonic() - begin
    pushed = versions(project)
    assert len(pushed) == 1

    moments = random.Random(20261122)
    killed_before_start = 0
    killed, completed = 0, 1
    for seed in range(3 * KILLS):
        if killed == KILLS:
            break
        if seed % 2:  # new data, so that the first nodes run, too
            os.utime(project.root / "data" / "train.tfrecord.gz", (seed, seed))
        before = {run["id"] for run in listed(project)}
        moment = (0.02 + 0.88 * (killed + moments.random()) / KILLS) * whole
        run = project.start(*run_arguments(seed))
        time.sleep(moment)
        was_killed = run.kill()
        # The store opens, and the run shows.
        new = [run for run in listed(project) if run["id"] not in before]
        if not was_killed or any(one["status"] == "pushed" for one in new):
            # The machine is less busy than before; at most the report was still to be written.
            assert was_killed or run.code() == 0, run.err.read_text()
            pushed, whole, completed = versions(project), moment, completed + 1
            continue
        killed += 1

        # What was pushed is as it was.
        if not new:
            killed_before_start += 1
        for one in new:
            assert (one["status"], one["finished"], one["exit_code"]) == ("interrupted", None, None)
            assert one["seed"] == seed
        now = versions(project)
        assert {name: now.get(name) for name in pushed} == pushed
        assert all(now.values()), "a version without its model"

        again = project.start(*run_arguments(seed))
        assert again.code() == 0, again.err.read_text()
        completed += 1
        newest = listed(project)[0]
        assert (newest["status"], newest["seed"]) == ("pushed", seed)
        # What the killed run had finished was not done again.
        done = {n for one in new for n, node in one["nodes"].items() if node["state"] in ("ran", "cached")}
        assert {newest["nodes"][node]["state"] for node in done - {"Pusher"}} <= {"cached"}
        pushed = versions(project)
        assert newest["pushed"] and os.path.basename(newest["pushed"]) == max(pushed, key=int)
        lineage = project.paredown("lineage", newest["pushed"])
        assert lineage.code == 0, lineage.out + lineage.err
    assert killed == KILLS and killed_before_start < KILLS / 2
    states = [run["status"] for run in listed(project)]
    assert states.count("pushed") == completed
    assert states.count("interrupted") == KILLS - killed_before_start
