"""What of a plan depends on the target: nothing that trains, and only what the target changes."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from components import registry
from pipeline.config.config_file import load
from pipeline.plan import code_version
from pipeline.plan.node import Output
from pipeline.plan.planner import make_plan
from tests.pipeline.plan.example import JUDGE, MEASURE, MNIST, PREDICT, ids, plan_of

MICRO = "target={kind: microcontroller, ram: 16 kB, flash: 64 kB}"


WITHOUT_TARGET = [
    path for path in Path("configs").glob("*/*.yaml") if "\ntarget" not in path.read_text("utf-8")
]


@pytest.mark.parametrize("config", sorted(WITHOUT_TARGET), ids=str)
def test_without_a_target_nodes_are_given_what_they_always_were(config: Path) -> None:
    """Results of before there were targets stay cached."""
    file = load(config, ["target=mobile"])
    plan = make_plan(file.config, file.path)
    written = file.config.model_dump().keys() - {"search"}
    assert written == load(MNIST).config.model_dump().keys() - {"target"}
    assert not [node.id for node in plan.nodes if {"runtime", "load"} & node.parameters.keys()]
    assert not [
        plan.node(node).id
        for node in plan.measurements.values()
        if "code_modules" in plan.node(node).parameters
    ]
    for node in plan.evaluations.values():
        gate = json.loads(str(plan.node(node).parameters["gate"]))
        own = {"traffic", "worst_client"} if file.config.model.train.federated else set()
        assert gate.keys() == {"accuracy", "latency", "size", "gzip_size"} | own
    assert plan == make_plan(load(config, ["target={kind: mobile}"]).config, config)


def test_only_the_measurement_of_a_server_depends_on_its_load_and_on_its_code() -> None:
    before, after = plan_of(), plan_of("target={kind: server, clients: 4}")
    differing = {node.id for node in before.nodes if node != after.node(node.id)}
    assert differing == set(before.measurements.values())
    plain, served = (plan.node(MEASURE).parameters for plan in (before, after))
    assert served.keys() - plain.keys() == {"load", "code_modules"}
    load_options = {"clients": 4, "seconds": 2.0, "threads": 2, "max_batch": 32}
    assert json.loads(str(served["load"])) == load_options
    assert json.loads(str(served["code_modules"])) == ["components.measurer.server_load"]
    assert served["code_version"] != plain["code_version"]
    limited = plan_of("target={kind: server, clients: 4}", "gate.p99={max_ratio: 9}")
    assert {node.id for node in after.nodes if node != limited.node(node.id)} == set(
        after.evaluations.values()
    )


def test_another_version_of_tflite_micro_packs_and_writes_sources_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sets = (MICRO, "push.c_array=true", "candidates.int8.0.convert.pack=lut")
    before = plan_of(*sets)
    monkeypatch.setattr(code_version, "version_or_none", lambda package: f"another {package}")
    code_version.forget()
    try:
        after = plan_of(*sets)
    finally:
        code_version.forget()
    differing = {node.id for node in before.nodes if node != after.node(node.id)}
    # Predictions and measurements have the version in `runtime`.
    assert differing == {before.models["int8"], "Pusher"}


def test_another_target_trains_and_converts_nothing_again() -> None:
    before, after = plan_of(), plan_of(MICRO)
    differing = {node.id for node in before.nodes if node != after.node(node.id)}
    assert differing == {PREDICT, *before.measurements.values(), *before.evaluations.values()}
    for node in (PREDICT, MEASURE):
        runtime = json.loads(str(after.node(node).parameters["runtime"]))
        assert runtime == {"name": "tflite-micro", "version": metadata.version("tflite-micro")}
    gate = json.loads(str(after.node(JUDGE).parameters["gate"]))
    assert (gate["memory"]["max"], gate["flash"]["max"]) == (16_000, 64_000)
    own = json.loads(str(plan_of(MICRO, "gate.memory={max: 8 kB}").node(JUDGE).parameters["gate"]))
    assert (own["memory"]["max"], own["flash"]["max"]) == (8000, 64_000)


def test_an_npu_measures_judges_and_pushes_again() -> None:
    before = plan_of(MICRO)
    npu, limited = (
        plan_of(f"{MICRO[:-1]}, npu: {{accelerator: ethos-u55-128{more}}}}}")
        for more in ("", ", max_cycles: 9")
    )
    differing = {node.id for node in before.nodes if node != npu.node(node.id)}
    assert differing == {*before.measurements.values(), *before.evaluations.values(), "Pusher"}
    given = json.loads(str(npu.node(MEASURE).parameters["npu"]))
    assert given == {
        "npu": {"accelerator": "ethos-u55-128", "memory_mode": None, "system_config": None},
        "version": metadata.version("ethos-u-vela"),
    }
    assert json.loads(json.loads(str(npu.node("Pusher").parameters["custom_config"]))["npu"]) == given
    limits = {node.id for node in npu.nodes if node != limited.node(node.id)}
    assert limits == set(before.evaluations.values())
    gate = json.loads(str(limited.node(JUDGE).parameters["gate"]))
    assert (gate["npu"]["max_cycles"], gate["memory"]["max"]) == (9, 16_000)


def test_a_packed_candidate_has_a_conversion_of_its_own_within_the_memory_of_the_target() -> None:
    before, packed = plan_of(MICRO), plan_of(MICRO, "candidates.int8.0.convert.pack=auto")
    assert ids(packed) - ids(before) == {
        f"{packed.models['int8']}{end}" for end in ("", "-measure", "-evaluate")
    }
    plain, own = before.node(before.models["int8"]), packed.node(packed.models["int8"])
    assert json.loads(str(own.parameters["params"])) == {
        **json.loads(str(plain.parameters["params"])), "pack": "auto", "pack_memory": 16_000,
    }  # fmt: skip
    assert own.parameters["code_version"] != plain.parameters["code_version"]
    others = {node.id: node for node in before.nodes if "int8" not in node.candidates}
    others.pop("Selector")
    assert all(packed.node(name) == node for name, node in others.items())


def test_a_repaired_candidate_gets_the_limits_of_the_gate_and_the_baseline() -> None:
    name, step = "pruned-int8", "candidates.pruned-int8.1.convert"
    before, repaired = plan_of(), plan_of(f"{step}.repair={{max_float: 2}}")
    plain, own = before.node(before.models[name]), repaired.node(repaired.models[name])
    options = json.loads(str(own.parameters["params"]))
    (limit,) = options.pop("limits")
    assert options.pop("repair") == {"max_float": 2}
    assert options == json.loads(str(plain.parameters["params"]))
    assert limit == {"metric": "SparseCategoricalAccuracy", "config": {}, "max_drop": 0.005, "min": 0.975}
    assert own.inputs["teacher"] == Output("Trainer", "model") and "teacher" not in plain.inputs
    assert own.parameters["code_version"] != plain.parameters["code_version"]
    others = {
        node.id: node for node in before.nodes if name not in node.candidates and node.id != "Selector"
    }
    assert all(repaired.node(node) == others[node] for node in others)
    # Another limit repairs again.
    (changed,) = json.loads(
        str(
            (other := plan_of(f"{step}.repair={{max_float: 2}}", "gate.accuracy.min=0.9"))
            .node(other.models[name])
            .parameters["params"]
        )
    )["limits"]
    assert changed["min"] == 0.9


def test_what_writes_beside_a_pushed_model_is_part_of_the_pusher_alone_if_asked() -> None:
    without, within = (plan_of(MICRO, *more).node("Pusher") for more in ((), ("push.c_array=true",)))
    plain, sources = (node.parameters["custom_config"] for node in (without, within))
    assert json.loads(str(plain)).keys() == {"code_version"}
    found = json.loads(str(sources))
    # An eval example is a part of the sources.
    assert without.inputs.keys() == {"model", "model_blessing"}
    assert within.inputs.keys() - without.inputs.keys() == {"examples", "schema"}
    (read,) = found["data"].items()
    assert read[0] == "components.targets.microcontroller.c_array.write"
    assert read[1]["label"] == "label" and read[1].keys() == {"label", "label_options"}
    assert found["functions"] == ["components.targets.microcontroller.c_array.write"]
    assert found["code_version"] != json.loads(str(plain))["code_version"]


def test_no_code_of_targets_is_part_of_what_trains_or_converts() -> None:
    tree = code_version._tree(Path(code_version.__file__).resolve().parents[2])
    techniques = registry.complete().values()
    for executor in ("components.trainer.executor", *(technique.executor for technique in techniques)):
        imported = tree.imported([executor], within={"components"}, not_called=code_version.IF_ASKED)
        assert executor in imported
        assert not [name for name in imported if "targets" in name or name.endswith((".tflm", ".runtimes"))]


def test_a_served_model_has_a_saved_model_and_its_name_from_the_folder_it_is_pushed_to() -> None:
    plain, served = plan_of("target=server"), plan_of("target=server", "push.serving={warmup: 3}")
    differing = {node.id for node in plain.nodes if node != served.node(node.id)}
    converts = {node.id for node in served.nodes if "tflite_converter" in node.component}
    assert differing == {*converts, "Pusher"}
    for node in converts:
        options = json.loads(str(served.node(node).parameters["params"]))
        assert (options["saved_model"], options["warmup"]) == (True, 3)
    pushed = json.loads(str(served.node("Pusher").parameters["custom_config"]))
    (function,) = pushed["functions"]
    assert function == "components.targets.server.deployment.write"
    assert pushed["options"][function]["name"] == "mnist"
    assert pushed["options"][function]["replicas"] == [2, 10]
