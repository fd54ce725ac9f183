"""Plans: which nodes there are, what they share, and what their ids depend on."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components.measurer.machine import Machine
from pipeline.config.config import Config
from pipeline.config.config_file import load
from pipeline.plan.data_nodes import data_fingerprint
from pipeline.plan.node import ELSEWHERE, Output, input_key
from pipeline.plan.plan import Plan
from pipeline.plan.planner import make_plan
from tests.pipeline.plan.example import JUDGE, MEASURE, MNIST, PREDICT, ids, plan_of

PLAIN: dict[str, Any] = yaml.safe_load(MNIST.read_text(encoding="utf-8").replace("../../", ""))

MODEL = """
def build_model(hparams):
    raise NotImplementedError("planning builds nothing")
"""


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
    monkeypatch.setattr("pipeline.plan.planner.this_machine", lambda: Machine("AMD EPYC", 2, "2.3.0"))
    before = plan_of()
    monkeypatch.setattr("pipeline.plan.planner.this_machine", lambda: other)
    after = plan_of()
    assert json.loads(str(after.node(MEASURE).parameters["machine"])) == dataclasses.asdict(other)
    differing = {node.id for node in before.nodes if node != after.node(node.id)}
    assert differing == set(before.measurements.values())


def test_the_machine_of_a_cluster_is_not_this_one() -> None:
    plan = plan_of().elsewhere()
    assert {plan.node(node).parameters["machine"] for node in plan.measurements.values()} == {ELSEWHERE}
