"""Plans: which nodes there are, what they share, and what their ids depend on."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib import metadata
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components import registry
from components.measurer.machine import Machine
from pipeline.config.config import Config
from pipeline.config.config_file import load
from pipeline.plan import code_version
from pipeline.plan.data_nodes import data_fingerprint
from pipeline.plan.node import ELSEWHERE, Output, input_key
from pipeline.plan.plan import Plan, make_plan

MNIST = Path("configs/mnist/pipeline.yaml")
PLAIN: dict[str, Any] = yaml.safe_load(MNIST.read_text(encoding="utf-8").replace("../../", ""))

MODEL = """
def build_model(hparams):
    raise NotImplementedError("planning builds nothing")
"""


def plan_of(*overrides: str) -> Plan:
    file = load(MNIST, list(overrides))
    return make_plan(file.config, file.path)


def ids(plan: Plan) -> set[str]:
    return {node.id for node in plan.nodes}


def test_candidates_with_the_same_beginning_share_its_nodes() -> None:
    plan = plan_of()
    trained = [node for node in plan.nodes if node.trains]
    assert [len(node.candidates) for node in trained if node.id.startswith("prune")] == [2, 1]
    # Baseline, prune, qat, prune-qat and distill: five distinct prefixes of six candidates.
    assert len(trained) == 5
    assert len(plan.nodes) == 32


def test_every_node_comes_after_what_it_reads() -> None:
    seen: set[str] = set()
    for node in plan_of().nodes:
        assert {source.node for source in node.inputs.values()} <= seen
        seen.add(node.id)


STEPS: dict[str, list[dict[str, Any]]] = {
    "distill": [{}, {"temperature": 2.0}],
    "prune": [{"sparsity": 0.8}, {"sparsity": 0.37}, {"m_by_n": [2, 4]}],
    "cluster": [{}, {"clusters": 8}],
    "qat": [{}, {"epochs": 3}],
    "fine_tune": [{}],
    "convert": [{"quantization": "float32"}, {"quantization": "int8"}],
}


@st.composite
def chains(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some of the steps in their order; only int8 may follow `qat`."""
    names = [name for name in STEPS if name == "convert" or draw(st.booleans())]
    chain = [{name: draw(st.sampled_from(STEPS[name]))} for name in names[:-1]]
    return [*chain, {"convert": draw(st.sampled_from(STEPS["convert"][1 if "qat" in names else 0 :]))}]


names = st.from_regex(r"[a-z]{1,20}(-[a-z0-9]{1,9})?", fullmatch=True)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(names, chains()), min_size=2, max_size=6, unique_by=(lambda c: c[0], lambda c: repr(c[1]))
    ),
    st.randoms(use_true_random=False),
)
def test_ids_depend_on_content_alone_and_are_names_that_argo_takes(
    candidates: list[tuple[str, list[dict[str, Any]]]], random: Random
) -> None:
    """Also if candidates are added, taken away, put into another order or called something else."""

    def planned(chains: dict[str, list[dict[str, Any]]]) -> Plan:
        return make_plan(Config.model_validate({**PLAIN, "candidates": chains}), MNIST)

    whole = planned(dict(candidates))
    assert len(ids(whole)) == len(whole.nodes)
    for node_id in ids(whole):
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", node_id) and len(node_id) <= 63
    assert len(set(whole.models.values())) == len(candidates)

    some = random.sample(candidates, random.randint(1, len(candidates)))
    part = planned({f"other-{number}": chain for number, (_, chain) in enumerate(some)})
    assert ids(part) <= ids(whole)
    for number, (name, _) in enumerate(some):
        assert part.models[f"other-{number}"] == whole.models[name]


def test_options_that_differ_give_other_ids() -> None:
    before, after = plan_of(), plan_of("candidates.pruned-int8.0.prune.sparsity=0.7")
    assert before.models["pruned-int8"] != after.models["pruned-int8"]
    assert before.models["pruned-qat-int8"] == after.models["pruned-qat-int8"]
    assert not [node for node in after.nodes if len(node.candidates) > 1]


def test_writing_out_a_default_changes_nothing() -> None:
    assert ids(plan_of()) == ids(plan_of("candidates.qat-int8.0.qat.epochs=1"))


def test_parameters_are_primitives() -> None:
    for node in plan_of().nodes:
        for name, value in node.parameters.items():
            assert type(value) in (str, int, float), (node.id, name)


def test_every_candidate_is_a_named_input_of_the_selector() -> None:
    plan = plan_of()
    selector = plan.node("Selector")
    for name in plan.models:
        for kind, source in (("model", plan.models), ("blessing", plan.evaluations)):
            assert selector.inputs[f"{kind}_{input_key(name)}"].node == source[name]


def test_baseline_is_shared_with_a_float32_candidate() -> None:
    plan = plan_of("candidates.float=[{convert: {quantization: float32}}]")
    assert plan.models["float"] == plan.baseline


def test_transform_is_between_data_and_training_if_the_module_preprocesses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.py").write_text(
        MODEL + "\n\ndef preprocessing_fn(inputs):\n    return inputs\n", encoding="utf-8"
    )
    config = tmp_path / "pipeline.yaml"
    config.write_text(
        MNIST.read_text(encoding="utf-8").replace("configs.mnist.model", "model").replace("../../", ""),
        encoding="utf-8",
    )
    file = load(config)
    plan = make_plan(file.config, config)
    assert plan.node("Transform").parameters["preprocessing_fn"] == "model.preprocessing_fn"
    for node in plan.nodes:
        if "examples" in node.inputs and node.id not in ("StatisticsGen", "AnomalyGate", "Transform"):
            assert node.inputs["examples"].node == "Transform", node.id
            assert node.inputs["transform_graph"].node == "Transform", node.id
    # The gate applies the transform graph itself, as serving does.
    measurers = [node for node in plan.nodes if node.id.endswith(("-measure", "-predict"))]
    assert measurers and all(n.inputs["raw_examples"] == raw_examples_of(plan) for n in measurers)
    assert not any("raw_examples" in node.inputs for node in make_plan(load(MNIST).config, MNIST).nodes)


def raw_examples_of(plan: Plan) -> Output:
    """The raw examples, as Transform reads them."""
    return plan.node("Transform").inputs["examples"]


@pytest.mark.tf
def test_fingerprint_of_the_data_is_the_one_that_tfx_records() -> None:
    from tfx.components.example_gen import utils
    from tfx.proto import example_gen_pb2

    config = load(MNIST).config
    splits = [
        example_gen_pb2.Input.Split(name="train", pattern="train*"),
        example_gen_pb2.Input.Split(name="eval", pattern="test*"),
    ]
    fingerprint, _, _ = utils.calculate_splits_fingerprint_span_and_version("data/mnist", splits)
    assert data_fingerprint(config.data) == fingerprint


def test_a_long_chain_has_a_short_id() -> None:
    steps = ",".join(f"{{prune: {{sparsity: 0.{share}}}}}" for share in range(11, 29))
    plan = plan_of(f"candidates.long=[{steps},{{convert: {{quantization: int8}}}}]")
    assert max(len(node.id) for node in plan.nodes) <= 63
    assert len(ids(plan)) == len(plan.nodes)


PREDICT = "convert-float32-predict"
MEASURE, JUDGE = "convert-int8-01556e-measure", "convert-int8-01556e-evaluate"


def changed_nodes(*overrides: str) -> set[str]:
    """Which of a candidate's two nodes has other parameters or inputs than in the config as it is."""
    before, after = plan_of(), plan_of(*overrides)
    return {node for node in (MEASURE, JUDGE) if before.node(node) != after.node(node)}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("gate.accuracy.max_drop=0.1", {JUDGE}),
        ("gate.accuracy.min=0.5", {JUDGE}),
        ("gate.accuracy.higher_is_better=true", {JUDGE}),
        ("gate.accuracy.slices=[{by: label, max_drop: 0.5, values: [1, 2]}]", {JUDGE}),
        ("gate.accuracy.slices=[{by: label, min: 0.5}, {by: [label], max_drop: 0.5}]", {JUDGE}),
        ("gate.accuracy.confidence=0.95", {JUDGE}),
        ("gate.latency.max_ratio=3", {JUDGE}),
        ("gate.size={of: gzip, max: 60 kB}", {JUDGE}),
        ("gate.gzip_size={max: 60 kB}", {JUDGE}),
        ("select={minimize: latency}", set()),
        ("gate.accuracy.metric=SparseTopKCategoricalAccuracy", {MEASURE, JUDGE}),
        ("gate.accuracy.slices=[{by: image, max_drop: 0.5}]", {MEASURE, JUDGE}),
        ("gate.latency.repetitions=600", {MEASURE, JUDGE}),
        ("gate.latency.threads=2", {MEASURE, JUDGE}),
        ("gate.latency.percentile=90", {MEASURE, JUDGE}),
        ("gate.latency.warmup=51", {MEASURE, JUDGE}),
        ("run.seed=8", {MEASURE}),
    ],
)
def test_another_limit_is_judged_without_measuring_again(override: str, changed: set[str]) -> None:
    assert changed_nodes(override) == changed


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("gate.accuracy.max_drop=0.1", False),
        ("gate.accuracy.metric=SparseTopKCategoricalAccuracy", False),
        ("gate.accuracy.slices=[{by: label, max_drop: 0.5, values: [1, 2]}]", False),
        ("gate.latency.repetitions=600", False),
        ("run.seed=8", False),
        ("gate.accuracy.slices=[{by: image, max_drop: 0.5}]", True),
        ("data.label=digit", True),
    ],
)
def test_the_baseline_predicts_again_only_if_its_predictions_would_differ(
    override: str, changed: bool
) -> None:
    before, after = plan_of(), plan_of(override)
    assert (before.node(PREDICT) != after.node(PREDICT)) is changed
    assert before.node(PREDICT).inputs["model"] == Output(before.baseline, "model")
    readers = [node.id for node in after.nodes if Output(PREDICT, "predictions") in node.inputs.values()]
    assert set(readers) == set(after.measurements.values())


def test_no_limit_is_part_of_what_is_measured() -> None:
    measures = json.loads(str(plan_of().node(MEASURE).parameters["measures"]))
    assert measures == {
        "latency": {"percentile": 50, "repetitions": 500, "threads": 1, "warmup": 50},
        "metrics": [
            {
                "against": None, "anomaly": None, "config": {}, "metric": "SparseCategoricalAccuracy", "output": None,
                "slices": [{"by": ["label"]}],
            }
        ],
        "resampled": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [Machine("AMD EPYC", 64, "2.3.0"), Machine("Xeon", 2, "2.3.0"), Machine("AMD EPYC", 2, "2.4.0")],
    ids=["cores", "processor", "runtime"],
)
def test_another_machine_measures_again_and_changes_nothing_else(
    other: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.plan.plan.this_machine", lambda: Machine("AMD EPYC", 2, "2.3.0"))
    before = plan_of()
    monkeypatch.setattr("pipeline.plan.plan.this_machine", lambda: other)
    after = plan_of()
    assert json.loads(str(after.node(MEASURE).parameters["machine"])) == dataclasses.asdict(other)
    differing = {node.id for node in before.nodes if node != after.node(node.id)}
    assert differing == set(before.measurements.values())


def test_the_machine_of_a_cluster_is_not_this_one() -> None:
    plan = plan_of().elsewhere()
    assert {plan.node(node).parameters["machine"] for node in plan.measurements.values()} == {ELSEWHERE}


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
        assert gate.keys() == {"accuracy", "latency", "size", "gzip_size"}
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
