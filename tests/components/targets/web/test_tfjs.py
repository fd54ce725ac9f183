"""A pushed model for TensorFlow.js, run by programs that import nothing of ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.common.base import file_hashes
from components.common.tfjs import graph_model, installation
from components.common.tfjs.graph_model import TfjsError
from components.pusher import beside
from tests.components.conftest import Step
from tests.conftest import Digits, Trained

WRITE = "components.targets.web.tfjs.write"
# Reads model.json and its weights, and predicts the examples of a file on the plain CPU backend.
PROGRAM = """
const fs = require('fs'), [folder, modules, given] = process.argv.slice(1);
const tf = require(modules + '/@tensorflow/tfjs-core');
const {loadGraphModel} = require(modules + '/@tensorflow/tfjs-converter');
require(modules + '/@tensorflow/tfjs-backend-cpu');
const json = JSON.parse(fs.readFileSync(folder + '/model.json'));
const [group] = json.weightsManifest;
const bytes = Buffer.concat(group.paths.map((path) => fs.readFileSync(folder + '/' + path)));
const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
(async () => {
  const model = await loadGraphModel(tf.io.fromMemory({...json, weightSpecs: group.weights, weightData}));
  const images = JSON.parse(fs.readFileSync(given));
  const [output] = Object.values(json.signature.outputs), [input] = Object.values(json.signature.inputs);
  const found = model.execute({[input.name]: tf.tensor(images)}, output.name);
  fs.writeFileSync(1, JSON.stringify(await found.array()));
})();
"""


@pytest.fixture
def pushed(
    trained: Trained,
    converted: Callable[..., Step],
    data: dict[str, str],
    tmp_path: Path,
) -> tuple[Path, dict[str, float | str]]:
    """Folder of a pushed version, with the figures."""
    if installation.missing():
        pytest.skip(f"TensorFlow.js is missing: {'; '.join(installation.missing())}")
    serving = Path(converted(trained.uri, "int8", fixed_batch=True, saved_model=True).uri, "Format-Serving")
    folder = tmp_path / "pushed"
    folder.mkdir()
    figures: dict[str, float | str] = {}
    options = {WRITE: {"quantization": "uint8", "name": "digits"}}
    judged = file_hashes.digests(serving)
    added = beside.add(serving, judged, [WRITE], folder, None, options, {WRITE: data}, figures)
    assert {"tfjs/model.json", "tfjs/example.json", "tfjs/README.md"} <= added.keys()
    return folder, figures


@pytest.mark.soak  # the converter imports TensorFlow and JAX, which takes 15 to 50 seconds
def test_a_program_that_imports_nothing_of_ours_predicts_as_the_savedmodel(
    pushed: tuple[Path, dict[str, float | str]], mnist_arrays: dict[str, Digits], tmp_path: Path
) -> None:
    import tensorflow as tf

    folder, figures = pushed
    images = np.asarray(mnist_arrays["eval"].images, np.float32).reshape(-1, 28, 28, 1)
    given = tmp_path / "images.json"
    given.write_text(json.dumps(images.tolist()), encoding="utf-8")
    done = subprocess.run(
        ["node", "-e", PROGRAM, str(folder / "tfjs"), str(installation.modules()), str(given)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = np.array(json.loads(done.stdout))
    predict = tf.saved_model.load(str(folder)).signatures["serving_default"]
    (name,) = predict.structured_input_signature[1]
    (expected,) = (values.numpy() for values in predict(**{name: tf.constant(images)}).values())
    same = float(np.mean(found.argmax(1) == expected.argmax(1)))
    assert figures["tfjs_examples"] == len(images) and figures["tfjs_node_same_prediction"] == same
    assert figures["tfjs_node_max_error"] == pytest.approx(np.abs(found - expected).max(), abs=1e-5)
    assert 0 < np.abs(found - expected).max() < 0.05  # 8 bits are stored
    weights = sum(path.stat().st_size for path in (folder / "tfjs").glob("*.bin"))
    assert figures["tfjs_bytes"] == weights + (folder / "tfjs" / "model.json").stat().st_size
    example = json.loads((folder / "tfjs" / "example.json").read_text(encoding="utf-8"))
    assert len(example["inputs"][name]) == images[0].size


def test_a_converter_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(TfjsError, match=f"TensorFlow.js is not installed; run: .*{tmp_path}/venv"):
        graph_model.convert(tmp_path, tmp_path / "out", "none")
    monkeypatch.delenv(installation.FOLDER_VARIABLE)
    monkeypatch.setattr(installation, "_ROOT", Path(__file__).parents[4])
    monkeypatch.setattr(installation, "folder", lambda: tmp_path)
    assert installation.missing()[-1] == "make tfjs"
