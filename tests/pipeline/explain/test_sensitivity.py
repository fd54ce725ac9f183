"""Which models `paredown explain --sensitivity` finds in a store."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.common.base.sensitivity import SENSITIVITY, LayerError, Sensitivity
from pipeline.config.config_file import load
from pipeline.explain import sensitivity
from pipeline.explain.sensitivity import Made, NoModel
from pipeline.plan.planner import make_plan
from pipeline.store.reader import Reader
from pipeline.store.records import Artifact

MNIST = Path("configs/mnist/pipeline.yaml")
DATA = {
    "ImportExampleGen": "examples",
    "AnomalyGate": "schema",
    "Trainer": "model",
}


class Store:
    """A reader of what nodes have made: node → artifacts of its newest execution, by key."""

    def __init__(self, made: dict[str, dict[str, list[Artifact]]]):
        self._made = made

    def executions_of_node(self, pipeline: str, node: str) -> list[Any]:
        assert pipeline == "mnist"
        return [SimpleNamespace(id=node)] if node in self._made else []

    def outputs(self, execution: str) -> dict[str, list[Artifact]]:
        return self._made[execution]


def artifact(name: str, live: bool = True, **properties: Any) -> Artifact:
    return Artifact(1, "Model", f"/{name}", live, properties)


def find(made: dict[str, dict[str, list[Artifact]]] | None, *only: str, **overrides: str) -> list[Made]:
    file = load(MNIST, [f"{key}={value}" for key, value in overrides.items()])
    config = file.config.only(list(only)) if only else file.config
    reader = None if made is None else cast(Reader, Store(made))
    return sensitivity.find(config, make_plan(config, MNIST), reader, str(MNIST))


def trained(*nodes: str) -> dict[str, dict[str, list[Artifact]]]:
    made = {node: {key: [artifact(node)]} for node, key in DATA.items()}
    return {**made, **{node: {"model": [artifact(node)]} for node in nodes}}


def test_before_anything_is_trained_the_message_says_what_to_run() -> None:
    for made in (None, {}, {"ImportExampleGen": {"examples": [artifact("examples")]}}):
        with pytest.raises(
            NoModel, match=r"nothing has been trained yet; run `paredown run configs/mnist/pipeline"
        ):
            find(made)
    gone = trained()
    gone["Trainer"] = {"model": [artifact("Trainer", live=False)]}
    with pytest.raises(NoModel, match="nothing has been trained yet"):
        find(gone)


def test_candidates_whose_model_is_there_are_examined_by_the_limits_of_the_gate() -> None:
    found = {made.name: made for made in find(trained())}
    assert list(found) == ["int8"]
    int8 = found["int8"]
    assert int8.folders == {
        "base_model": "/Trainer",
        "examples": "/ImportExampleGen",
        "schema": "/AnomalyGate",
    }
    assert (int8.baseline, int8.recorded) == ("/Trainer", None)
    assert int8.options.layer_errors and int8.options.repair is None
    (limit,) = int8.options.limits
    assert (limit.metric, limit.max_drop) == ("SparseCategoricalAccuracy", 0.005)


def test_what_a_conversion_has_measured_is_not_measured_again() -> None:
    error = LayerError(layer="conv", operators=["CONV_2D"], rmse_scale=3.0, snr=9.0, cosine=0.9, value=0.9)
    measured = Sensitivity(metric="m", in_float=0.9, in_int8=0.5, layers=[error])
    errors = Sensitivity(layers=[error.model_copy(update={"value": None})])
    plan = make_plan(load(MNIST).config, MNIST)
    for recorded, expected in ((measured, measured), (errors, None)):
        made = trained()
        made[plan.models["int8"]] = {"model": [artifact("int8", **{SENSITIVITY: recorded.as_property()})]}
        (int8,) = find(made, "int8")
        assert int8.recorded == expected
    assert sensitivity.measure(Made("int8", int8.options, {}, {}, "", measured)) == measured


def test_without_a_candidate_for_int8_the_baseline_is_examined() -> None:
    candidates = "{plain: [{convert: {quantization: dynamic}}]}"
    (baseline,) = find(trained(), candidates=candidates)
    assert (baseline.name, baseline.folders["base_model"]) == ("baseline", "/Trainer")
    assert baseline.options.quantization == "int8" and baseline.options.limits


def test_quantization_aware_candidates_are_refused() -> None:
    candidates = "{aware: [{qat: {}}, {convert: {quantization: int8}}]}"
    with pytest.raises(NoModel, match="name a candidate without `qat` by --only"):
        find(trained(), candidates=candidates)
