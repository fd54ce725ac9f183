"""How many nodes run side by side, and which run alone."""

from __future__ import annotations

import pytest

from pipeline.config.config_file import load
from pipeline.plan.planner import make_plan
from pipeline.run import parallelism
from tests.project import ROOT

CONFIG = ROOT / "configs/mnist/pipeline.yaml"
GB = 10**9


@pytest.mark.parametrize(
    ("overrides", "cores", "gigabytes", "gpu", "to_run", "expected"),
    [
        ([], 2, 20, False, 30, 2),
        ([], 8, 20, False, 30, 6),
        ([], 8, 20, False, 4, 4),
        ([], 8, 2, False, 30, 1),
        ([], 8, 20, True, 30, 1),
        ([], 8, 20, False, 0, 1),
        (["run.parallel=3"], 2, 2, True, 30, 3),
        (["run.parallel=1"], 8, 20, False, 30, 1),
    ],
)
def test_the_number_of_nodes_follows_cores_and_memory_unless_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    cores: int,
    gigabytes: int,
    gpu: bool,
    to_run: int,
    expected: int,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(parallelism, "available_memory", lambda: gigabytes * GB)
    monkeypatch.setattr(parallelism, "_has_gpu", lambda: gpu)
    assert parallelism.nodes_at_once(load(CONFIG, overrides).config, to_run) == expected


def alone(*overrides: str) -> set[str]:
    file = load(CONFIG, list(overrides))
    return parallelism.alone(make_plan(file.config, file.path), file.config)


def test_the_pusher_and_what_other_processes_take_part_in_run_alone() -> None:
    assert alone() == {"Pusher"}
    assert alone("run.beam_args=[--runner=DirectRunner]") == {"Pusher"}
    remote = alone("run.beam_args=[--runner=FlinkRunner]")
    assert len(remote) == 7 and all(node == "Pusher" or node.endswith("-measure") for node in remote)
    trained = load(CONFIG, ["model.train.distribution={kind: mirrored, devices: 2}"])
    plan = make_plan(trained.config, trained.path)
    found = parallelism.alone(plan, trained.config)
    assert found == {"Pusher"} | {node.id for node in plan.nodes if node.trains} and "Trainer" in found
