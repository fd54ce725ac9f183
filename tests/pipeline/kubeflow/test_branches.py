"""Candidates are independent branches of a compiled pipeline: each changes its own tasks alone."""

from __future__ import annotations

import json
import re
from typing import Any

from pipeline.config.config_file import load
from pipeline.plan.planner import make_plan
from tests.pipeline.kubeflow.conftest import MNIST
from tests.pipeline.kubeflow.specification import Compile, container_of, every_spec, tasks_of


@every_spec
def test_candidates_are_independent_branches(compiled: Compile, target: str) -> None:
    done = compiled(MNIST, target)
    file = load(MNIST)
    plan = make_plan(file.config, file.path)
    tasks = tasks_of(done)

    def ancestors(name: str) -> set[str]:
        above = tasks[name].get("dependentTasks", [])
        return set(above).union(*map(ancestors, above))

    shared = {"import-example-gen", "statistics-gen", "schema-gen", "example-validator", "anomaly-gate"}
    shared |= {"trainer", "convert-float32", "convert-float32-predict"}
    for name, node in plan.evaluations.items():
        needed = {n.id for n in plan.nodes if name in n.candidates} - {node}
        assert ancestors(node) - shared == needed
    # Six conversions of the trained models, of which two begin at the baseline and one is the baseline's.
    assert width(done) == 6
    assert width(compiled(MNIST, target, only=["int8", "dynamic"])) == 3
    assert width(compiled("configs/mnist/techniques.yaml", target)) >= 16


def width(done: Any) -> int:
    from pipeline.kubeflow.spec import Spec

    return Spec.model_validate(done.spec).width()


def parts(done: Any) -> dict[str, str]:
    """Task → all that the specification says of it."""
    return {
        name: json.dumps([task, done.spec["components"][name], container_of(done, name)], sort_keys=True)
        for name, task in tasks_of(done).items()
    }


@every_spec
def test_changing_one_candidate_changes_its_own_tasks_alone(compiled: Compile, target: str) -> None:
    before = parts(compiled(MNIST, target))
    after = parts(compiled(MNIST, target, "candidates.qat-int8.0.qat.epochs=3"))
    removed, added = set(before) - set(after), set(after) - set(before)
    assert removed == {
        "qat",
        "qat-convert-int8-01556e",
        "qat-convert-int8-01556e-measure",
        "qat-convert-int8-01556e-evaluate",
    }
    assert len(added) == 4
    assert all(
        re.fullmatch(r"qat-[0-9a-f]{6}(-convert-int8-01556e(-measure|-evaluate)?)?", name) for name in added
    )
    changed = {name for name in set(before) & set(after) if before[name] != after[name]}
    assert changed == {"selector"}  # which reads the candidate


@every_spec
def test_adding_a_candidate_adds_its_own_tasks_alone(compiled: Compile, target: str) -> None:
    before = parts(compiled(MNIST, target))
    more = "candidates.more=[{prune: {sparsity: 0.8, epochs: 2}}, {convert: {quantization: dynamic}}]"
    after = parts(compiled(MNIST, target, more))
    added = set(after) - set(before)
    assert {name.partition("-convert")[2] for name in added} == {
        "-dynamic",
        "-dynamic-measure",
        "-dynamic-evaluate",
    }
    assert {name for name in before if before[name] != after[name]} == {"selector"}
