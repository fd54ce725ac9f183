"""The step: a model with fewer channels, which is trained on, and which later steps take as any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.channel_pruner.executor import prune_channels
from components.channel_pruner.explanation import explain
from components.channel_pruner.invariants import Channels
from components.channel_pruner.params import ChannelOptions
from components.common.models import invariants, model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.steps.explanation import Outlook, Workshop
from components.common.tflite import tflite_file
from components.pruner.executor import prune
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.executor import train_quantization_aware
from components.quantization_aware_trainer.params import QatOptions
from tests.components.conftest import Step, make_job, run_step
from tests.conftest import MNIST_HPARAMS, MNIST_MODULE, Trained

SHORT = {"steps": 5, "batch_size": 50}
# Of 4, 8 and 16, and of 10 classes.
HALVED = {"conv1": 2, "conv2": 4, "dense": 8}


@pytest.fixture(scope="module")
def halved(trained: Trained, mnist_examples: Any, tmp_path_factory: pytest.TempPathFactory) -> Step:
    """The baseline with half of its channels."""
    output = tmp_path_factory.mktemp("halved")
    options = ChannelOptions(ratio=0.5, importance="taylor", rounds=2, **SHORT)
    job = make_job(trained.uri, output, options, mnist_examples)
    return Step(str(output), run_step(prune_channels, job))


def channels(model: tf_keras.Model) -> dict[str, int]:
    """Layer → its number of output channels, for those with a kernel."""
    return {layer.name: layer.kernel.shape[-1] for layer in model.layers if hasattr(layer, "kernel")}


def test_the_model_has_fewer_channels(halved: Step, trained: Trained) -> None:
    model, baseline = model_files.load(halved.uri), model_files.load(trained.uri)
    assert channels(model) == {**HALVED, "probabilities": 10}
    assert [layer.name for layer in model.layers] == [layer.name for layer in baseline.layers]
    assert model.get_layer("dense").kernel.shape == (7 * 7 * 4, 8)
    assert model.get_layer("conv2_bn").gamma.shape == (4,)
    assert halved.facts["parameters"] == model.count_params()
    assert halved.facts["macs"] == 196 * 9 * 2 + 49 * 9 * 2 * 4 + 196 * 8 + 8 * 10
    record = StepRecord.read(halved.uri)
    assert record.techniques() == ["prune_channels"]
    assert record.layers == {name: [Channels(most=count)] for name, count in HALVED.items()}
    assert json.loads(halved.facts["layers"])["conv2"]["figures"] == {"channels": 4}
    assert halved.facts["trained_steps"] == 3  # of 5, after the second round


def test_later_steps_and_the_file_keep_them(
    halved: Step, trained: Trained, converted: Any, mnist_examples: Any, tmp_path: Path
) -> None:
    pruned, aware = tmp_path / "pruned", tmp_path / "aware"
    options = PruneOptions(sparsity=0.5, schedule="constant", begin="0 steps", frequency="1 steps", **SHORT)
    run_step(prune, make_job(halved.uri, pruned, options, mnist_examples))
    run_step(train_quantization_aware, make_job(pruned, aware, QatOptions(**SHORT), mnist_examples))
    deployed = converted(str(aware), "int8")

    record = StepRecord.read(deployed.uri)
    assert record.techniques() == ["prune_channels", "prune", "qat", "convert"]
    file = tflite_file.read(Path(model_files.tflite_file(deployed.uri)))
    checks = invariants.check(file.layer_kernels(record.layers), record.layers)
    found = {check.layer: check.got for check in checks if isinstance(check.invariant, Channels)}
    assert found == HALVED and all(check.met for check in checks)
    assert deployed.facts["most_layer_channels"] == 8 and deployed.facts["least_layer_sparsity"] >= 0.5
    whole = converted(trained.uri, "int8")
    sizes = [Path(model_files.tflite_file(step.uri)).stat().st_size for step in (deployed, whole)]
    assert sizes[0] < 0.75 * sizes[1]


def test_a_model_learns_from_the_whole_one(trained: Trained, mnist_examples: Any, tmp_path: Path) -> None:
    options = ChannelOptions(macs=0.6, importance="fpgm", scope="global", teacher="self", **SHORT)
    facts = run_step(prune_channels, make_job(trained.uri, tmp_path, options, mnist_examples))
    whole = 196 * 9 * 4 + 49 * 9 * 4 * 8 + 392 * 16 + 16 * 10
    assert 0.3 < facts["macs"] / whole <= 0.6
    assert 0 <= facts["final_val_agreement"] <= 1


def test_what_is_explained_is_what_is_done(halved: Step) -> None:
    definition = ModelDefinition(MNIST_MODULE, MNIST_HPARAMS)
    workshop = Workshop(definition, lambda _, __: b"", None)
    outlook = Outlook(definition.build(), StepRecord(), workshop)
    found = explain(outlook, ChannelOptions(ratio=0.5, exclude=["conv1"]))
    assert found.refusals == []
    assert found.effects["conv1"] == "4 channels (it is not selected), 7,056 MACs, 36 parameters"
    assert found.effects["conv2"] == "8 → 4 channels, 14,112 → 7,056 MACs, 288 → 144 parameters"
    assert found.effects["conv2_bn"] == "32 → 16 parameters"
    assert found.effects["probabilities"] == (
        "10 channels (it is an output of the model), 160 → 80 MACs, 170 → 90 parameters"
    )
    assert "flatten" not in found.effects
    (remark,) = found.remarks
    assert remark == "of the whole model, 27,600 → 15,760 MACs (0.57 ×), 6,830 → 1,878 parameters (0.27 ×)"
    assert channels(found.after.model) == {**HALVED, "conv1": 4, "probabilities": 10}
    assert set(found.after.record.layers) == {"conv2", "dense"}

    done = model_files.load(halved.uri)
    predicted = explain(outlook, ChannelOptions(ratio=0.5)).after.model
    assert [w.shape for w in predicted.weights] == [w.shape for w in done.weights]
    (refusal,) = explain(outlook, ChannelOptions(ratio=0.5, include=["prob*"])).refusals
    assert "no layer has channels that can be removed" in refusal.reason
    assert np.isfinite(predicted.predict(np.zeros((1, 28, 28, 1)), verbose=0)).all()
