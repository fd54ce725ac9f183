"""What cannot be distributed is refused before a run, by the line at fault; and steps go as the baseline goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.common.base.distribution_options import ALONE, Distribution
from components.common.base.step_options import TrainingOptions
from components.fine_tuner.params import FineTuneOptions
from components.pruner.params import PruneOptions
from components.trainer.params import TrainOptions
from pipeline.checks import distribution_checks
from pipeline.config.config import Config
from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from pipeline.kubeflow import checks as kubeflow_checks
from pipeline.plan.planner import make_plan

ROOT = Path(__file__).resolve().parents[3]
MNIST = ROOT / "configs" / "mnist" / "pipeline.yaml"
CONVERT = {"convert": {"quantization": "int8"}}


def config(train: dict[str, Any], *steps: dict[str, Any]) -> Config:
    return Config.model_validate(
        {
            "name": "n",
            "data": {"path": "data", "splits": {"train": "a", "eval": "b"}, "label": "label"},
            "model": {"module": "m", "train": train},
            "candidates": {"one": [*steps, CONVERT]},
            "gate": {"accuracy": {"metric": "AUC", "max_drop": 0.1}},
            "push": {"directory": "serving"},
        }
    )


def mistakes(train: dict[str, Any], *steps: dict[str, Any], **environment: str) -> list[tuple[str, str]]:
    found = distribution_checks.check(config(train, *steps), environment)
    return [(".".join(map(str, problem.location)), problem.message) for problem in found]


@pytest.mark.parametrize("kind", ["none", "mirrored", "multi_worker", "parameter_server", "tpu"])
def test_every_kind_is_taken_by_its_name(kind: str) -> None:
    assert TrainOptions(distribution=kind).distribution == Distribution(kind=kind)  # type: ignore[arg-type]
    assert mistakes({"distribution": kind}) == []


def test_nothing_is_distributed_by_default() -> None:
    assert TrainOptions().distribution == ALONE
    assert FineTuneOptions().distribution is None
    train, step = distribution_checks.trainings(config({}, {"fine_tune": {}}))
    assert train.asked == step.asked == ALONE


@pytest.mark.parametrize(
    ("written", "reported"),
    [
        ({"kind": "none", "devices": 2}, "devices has no meaning for none; leave it out, or write kind: mirrored"),
        ({"kind": "mirrored", "workers": 3}, "workers has no meaning for mirrored; leave it out, or write kind: "
         "multi_worker or parameter_server"),
        ({"kind": "multi_worker", "workers": 1}, "a single worker distributes nothing; write workers: 2, or "
         "kind: none"),
        ({"kind": "mirrored", "devices": 1}, "greater than or equal to 2"),
        ("mirored", "'mirrored'"),
    ],
)  # fmt: skip
def test_options_that_do_not_belong_together_are_refused(written: Any, reported: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TrainOptions(distribution=written)
    assert reported in str(raised.value)


def test_options_survive_json() -> None:
    options = TrainOptions(distribution={"kind": "parameter_server", "servers": 2})  # type: ignore[arg-type]
    assert TrainOptions.model_validate_json(options.model_dump_json()) == options


TWO = {"kind": "mirrored", "devices": 2}


def test_a_batch_has_to_be_divided_evenly() -> None:
    reported = (
        "batch_size (33) cannot be divided evenly among the 2 replicas of distribution: mirrored; write a "
        "multiple of 2"
    )
    assert mistakes({"distribution": TWO, "batch_size": 33}) == [("model.train.batch_size", reported)]
    step = {"fine_tune": {"batch_size": 33}}
    assert mistakes({"distribution": TWO}, step) == [("candidates.one.0.fine_tune.batch_size", reported)]
    assert mistakes({"distribution": TWO}, {"fine_tune": {"batch_size": 33, "distribution": "none"}}) == []
    three = {"kind": "multi_worker", "workers": 3}
    (found,) = mistakes({"distribution": three}, {"fine_tune": {}}, {"qat": {}})
    assert found[0] == "model.train" and "batch_size (128) cannot be divided evenly among the 3" in found[1]


def test_the_number_of_workers_of_a_cluster_is_the_clusters() -> None:
    task = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    three = {"kind": "multi_worker", "workers": 3}
    assert mistakes({"distribution": three}, TF_CONFIG=json.dumps(task)) == []


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"prune": {"sparsity": 0.5}}, "TFMOT counts steps to make masks"),
        ({"cluster": {}}, "values stay shared only if they are restored after each step"),
        ({"qat": {}}, "TFMOT's moving ranges of activations"),
    ],
)
def test_what_needs_steps_in_order_is_refused_with_parameter_servers(step: dict, reason: str) -> None:
    (technique,) = step
    (found,) = mistakes({"distribution": "parameter_server"}, step)

    assert found[0] == f"candidates.one.0.{technique}"
    assert found[1].startswith(f"{technique} cannot be distributed by parameter_server: the workers of a")
    assert reason in found[1] and "write distribution: none in this step" in found[1]
    step[technique]["distribution"] = "mirrored"
    assert mistakes({"distribution": "parameter_server"}, step) == []


def test_what_keeps_zeros_is_refused_with_parameter_servers_and_what_does_not_is_not() -> None:
    asynchronous = {"distribution": "parameter_server"}
    prune = {"prune": {"sparsity": 0.5, "distribution": "none"}}
    (found,) = mistakes({}, prune, {"fine_tune": asynchronous})

    assert found[0] == "candidates.one.1.fine_tune.distribution"
    assert "the zeros of earlier steps are restored after each step" in found[1]
    assert mistakes({}, {"distill": asynchronous}, {"fine_tune": asynchronous}) == []


@pytest.mark.parametrize(
    ("value", "reported"),
    [
        ("{", "is not JSON"),
        ("[]", 'TF_CONFIG is not {"cluster": {…}, "task": {…}}'),
        ('{"cluster": {"worker": ["a:1"]}}', "does not name a task of its cluster (task: null)"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "does not name a task",
        ),
    ],
)
def test_a_broken_tf_config_is_refused_if_it_matters(value: str, reported: str) -> None:
    (found,) = mistakes({"distribution": "multi_worker"}, TF_CONFIG=value)
    assert found[0] == "model.train.distribution" and reported in found[1]
    assert mistakes({"distribution": "mirrored"}, TF_CONFIG=value) == []


def test_steps_are_given_what_the_baseline_has() -> None:
    file = load(MNIST, ["model.train.distribution={kind: mirrored, devices: 2}"])
    plan = make_plan(file.config, file.path)
    plain = load(MNIST, [])
    steps = [step for chain in file.config.candidates.values() for step in chain.steps()]
    nodes = {
        node.id: json.loads(str(node.parameters.get("params", "{}"))) for node in plan.nodes if node.trains
    }

    assert any(isinstance(step, TrainingOptions) for step in steps)
    nodes.pop("Trainer")
    assert {json.dumps(params["distribution"]) for params in nodes.values()} == {
        json.dumps({"devices": 2, "kind": "mirrored", "name": "", "servers": 1, "workers": 2})
    }
    # Names in ids are of what a step itself says.
    assert set(nodes) <= {node.id for node in make_plan(plain.config, plain.path).nodes}


def test_an_own_option_is_part_of_the_name() -> None:
    assert PruneOptions(sparsity=0.5).slug() != PruneOptions(sparsity=0.5, distribution="none").slug()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["multi_worker", "parameter_server"])
def test_a_task_on_a_cluster_is_one_pod(kind: str) -> None:
    file = load(MNIST, [f"model.train.distribution={kind}"])
    plan = make_plan(file.config, file.path)
    for target, root, product in [
        ("kubeflow", "minio://b/f", "Kubeflow Pipelines"), ("vertex", "gs://b/f", "Vertex AI Pipelines"),
    ]:  # fmt: skip
        found = kubeflow_checks.check(file, plan, target, "image:1", root)  # type: ignore[arg-type]
        (problem,) = [str(p) for p in found if "model.train.distribution" in str(p)]
        assert f"a task of {product} is one pod, and {kind} needs several: write mirrored" in problem
    file = load(MNIST, ["model.train.distribution=mirrored"])
    plan = make_plan(file.config, file.path)
    assert not kubeflow_checks.check(file, plan, "kubeflow", "image:1", "minio://b/f")


def test_an_unknown_kind_is_reported_with_the_line() -> None:
    with pytest.raises(ConfigError, match=r"model\.train\.distribution"):
        load(MNIST, ["model.train.distribution=mirored"])
