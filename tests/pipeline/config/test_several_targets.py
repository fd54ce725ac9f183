"""A config that names several targets, as one config for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.checks.checked_config import load_checked
from pipeline.cli import main
from pipeline.config import several_targets
from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from pipeline.config.several_targets import SeveralTargetsError
from pipeline.plan.planner import make_plan
from tests.project import MNIST

ROOT = Path(__file__).parents[3]
TARGETS = ROOT / "configs" / "mnist" / "targets.yaml"


def test_each_target_gets_what_it_measures_runs_and_pushes() -> None:
    file = load(TARGETS, ["gate.memory={max: 12 kB}", "select={minimize: memory}"])
    each = several_targets.each(file.config)
    assert list(each) == ["mobile", "microcontroller", "web"]
    mobile, micro, web = (one.config for one in each.values())
    assert [one.target.kind for one in (mobile, micro, web)] == list(each)
    left_out = {kind: list(one.left_out) for kind, one in each.items()}
    assert left_out == {"mobile": [], "microcontroller": ["dynamic"], "web": ["channels-int8-io"]}
    assert "write io: uint8" in each["web"].left_out["channels-int8-io"]
    assert list(web.candidates) == ["dynamic", "int8", "channels-int8"]
    assert micro.judged_gate.memory.max == 12_000 and micro.judged_gate.flash.max == 64_000
    assert not mobile.gate.memory.bounds() and not mobile.gate.same_prediction.bounds()
    assert web.gate.same_prediction.min == 0.99
    assert [one.select.minimize for one in (mobile, micro, web)] == ["size", "memory", "size"]
    assert [Path(one.push.directory).name for one in (mobile, micro, web)] == list(each)
    assert [(one.push.c_array, one.push.web) for one in (mobile, micro, web)] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_models_are_trained_once_and_the_nodes_are_those_of_a_config_for_the_target_alone() -> None:
    files = load(TARGETS).each_target()
    plans = {kind: make_plan(file.config, file.path) for kind, file in files.items()}
    trained = [{n.id: n.parameters for n in plan.nodes if n.trains} for plan in plans.values()]
    assert trained[0] == trained[1] == trained[2] and len(trained[0]) == 2
    alone = load(MNIST).config
    assert several_targets.each(alone) == {} and "targets" not in alone.model_dump(mode="json")
    with pytest.raises(SeveralTargetsError, match="write --set target=mobile"):
        make_plan(load(TARGETS).config, TARGETS)


def test_an_entrys_own_gate_and_selection_override_the_configs() -> None:
    own = (
        "{kind: mobile, gate: {latency: {max_ratio: 0.5}, size: {max: 60 kB}}, select: {minimize: latency}}"
    )
    shared, file = load(TARGETS), load(TARGETS, [f"targets.0={own}", "gate.size={max: 90 kB}"])
    mobile, micro, web = (one.config for one in several_targets.each(file.config).values())
    assert (mobile.gate.size.max, micro.gate.size.max, web.gate.size.max) == (60_000, 90_000, 90_000)
    assert mobile.gate.latency.max_ratio == 0.5 and not web.gate.latency.bounds()
    assert mobile.gate.accuracies() == web.gate.accuracies()
    assert [one.select.minimize for one in (mobile, micro, web)] == ["latency", "size", "size"]
    assert mobile.target == several_targets.each(shared.config)["mobile"].config.target
    # Limits are no parameters of what trains, converts and measures.
    plans = [
        make_plan(load(TARGETS, sets).on("mobile").config, TARGETS) for sets in ([], [f"targets.0={own}"])
    ]
    before, after = ({node.id: node for node in plan.nodes} for plan in plans)
    changed = {
        node.component.rpartition(".")[2]
        for key, node in before.items()
        if node.parameters != after[key].parameters
    }
    assert before.keys() == after.keys() and changed == {"Evaluator", "Selector"}
    assert "select" not in json.dumps(shared.config.model_dump(mode="json")["targets"])


def test_the_first_limit_that_a_candidate_misses_is_named_where_it_is_written() -> None:
    file = load(TARGETS, ["targets.2={kind: web, gate: {size: {max: 1 kB}}}"])
    on_web = file.on("web").problem(("gate", "size", "max"), "is missed")
    assert on_web.location == ("targets", 2, "gate", "size", "max")
    assert file.on("mobile").problem(("gate", "size"), "is missed").location == ("gate", "size")


@pytest.mark.parametrize(
    ("sets", "key", "message"),
    [
        (
            ["targets.0={kind: mobile, gate: {memory: {max: 5}}}"],
            "targets[0].gate.memory",
            "is not measured for target: mobile; write target: microcontroller",
        ),
        (
            ["targets.0={kind: mobile, select: {minimize: flash}}"],
            "targets[0].select.minimize",
            "flash is not measured for target: mobile",
        ),
        (
            ["targets.2={kind: web, gate: {latency: {threads: 3}}}"],
            "targets[2].gate.latency.threads",
            "is measured on 1 thread",
        ),
        (
            ["targets.0={kind: mobile, gate: {sizes: {max: 5}}}"],
            "targets[0].gate.sizes",
            "did you mean 'size'?",
        ),
        (
            ["targets.0={kind: mobile, gate: {accuracy: {metric: Accurate, min: 0.5}}}"],
            "targets[0].gate.accuracy.metric",
            "is not a metric of TFMA",
        ),
        (
            ["targets.0={kind: mobile, gate: {gzip_size: {max: 5}}}", "gate.size={of: gzip, max: 3}"],
            "targets[0].gate",
            "both limit the compressed file",
        ),
        (
            [
                "targets=[mobile, web]",
                "push={directory: a, tfjs: {}}",
                "candidates={a: [{qat: {}}, {convert: {quantization: int8}}]}",
            ],
            "candidates.a[0].qat",
            "which are not for TensorFlow.js",
        ),
        (["targets=[web, web]"], "targets", "web is named twice"),
        (["targets=[web, watch]"], "targets[1]", "'watch' is not one of mobile"),
        (["target=server"], "target", "is not one of targets: mobile, microcontroller, web"),
        (
            ["push.serving={}"],
            "push.serving",
            "is for target: server, and targets are mobile, microcontroller, web",
        ),
        (["gate.p99={max: 3}"], "gate.p99", "is measured for target: server"),
        (
            ["targets=[mobile, server]", "push={directory: a}"],
            "gate.same_prediction",
            "microcontroller or web",
        ),
        (
            ["targets=[mobile, web]", "push.c_array=false", "select={minimize: flash}"],
            "select.minimize",
            "flash is measured for none of them",
        ),
        (
            ["candidates={a: [{convert: {quantization: dynamic}}]}"],
            "targets",
            "microcontroller cannot run any candidate (a: a dynamic-range file",
        ),
    ],
)
def test_one_mistake_is_one_problem_at_its_key(sets: list[str], key: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_checked(TARGETS, sets)
    (problem,) = error.value.problems
    assert problem.key() == key and message in problem.message


def test_both_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text("target: web\n" + TARGETS.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load(path)
    assert "cannot be combined with targets" in error.value.problems[0].message


def test_one_of_the_targets_can_be_chosen_and_plan_shows_each() -> None:
    chosen = load(TARGETS, ["target=microcontroller"]).config
    assert chosen.target.model_dump()["ram"] == 16_000 and not chosen.targets
    done = CliRunner().invoke(main, ["plan", str(TARGETS), "--json"])
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)["targets"]) == ["mobile", "microcontroller", "web"]
    one = CliRunner().invoke(
        main, ["plan", str(TARGETS), "--json", "--set", "target=web", "--only", "int8"]
    )
    assert json.loads(one.stdout)["target"] == {"kind": "web"}
    cluster = ["--image", "a/b:c", "--pipeline-root", "minio://a/b"]
    printed = CliRunner().invoke(main, ["compile", str(TARGETS), *cluster, "-o", "-"])
    assert printed.exit_code == 2 and "name a file, or write --set target=mobile" in printed.output
    searched = CliRunner().invoke(main, ["search", str(TARGETS), "--budget", "size 60 kB"])
    assert searched.exit_code == 2 and "cannot be combined with targets" in searched.output


def test_problems_of_what_targets_have_in_common_are_said_once() -> None:
    with pytest.raises(ConfigError) as error:
        load_checked(TARGETS, ["model.module=no.such.module"])
    assert len(error.value.problems) == 1
