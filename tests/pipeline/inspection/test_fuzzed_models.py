"""Damaged model files are refused by one sentence: nothing crashes, hangs, or ends in a traceback."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from components.common.base.errors import ParedownError
from components.common.models import model_format
from pipeline.inspection import keras_file, saved_model, tflite

LAYER = {"class_name": "Dense", "config": {"name": "scores", "units": 3}}
CONFIG = {"class_name": "Sequential", "config": {"layers": [LAYER]}}


def make_keras(folder: Path) -> Path:
    with h5py.File(folder / "weights.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", data=np.ones((4, 3), "f4"))
        file.create_dataset("layers/dense/vars/1", data=np.ones(3, "f4"))
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.16.0"}))
        archive.writestr("config.json", json.dumps(CONFIG))
        archive.write(folder / "weights.h5", "model.weights.h5")
    return folder / "model.keras"


def make_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(CONFIG)
        group = file.create_group("model_weights/scores")
        group.attrs["weight_names"] = [b"scores/kernel:0", b"scores/bias:0"]
        group.create_dataset("scores/kernel:0", data=np.ones((4, 3), "f4"))
        group.create_dataset("scores/bias:0", data=np.ones(3, "f4"))
    return folder / "model.h5"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel that TensorFlow wrote."""
    import tensorflow as tf

    module = tf.Module()
    module.kernel = tf.Variable(np.ones((4, 3), "f4"), name="scores/kernel")
    module.serve = tf.function(
        lambda x: {"y": x @ module.kernel},
        input_signature=[tf.TensorSpec([None, 4], name="x")],
        autograph=False,
    )
    folder = tmp_path_factory.mktemp("saved") / "model"
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def change(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut off, repeated, or put in."""
    kind = rng.randrange(4)
    at = rng.randrange(len(content))
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + rng.randbytes(rng.randrange(1, 9)) + content[at:]
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 20))):
        changed[rng.randrange(len(changed))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return bytes(changed) if kind == 2 else bytes(changed[at:])


COUNTS = [pytest.param(25, id="few"), pytest.param(1000, marks=pytest.mark.soak, id="soak")]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("make", [make_keras, make_hdf5])
def test_damaged_keras_files(tmp_path: Path, make: type, count: int) -> None:
    path = make(tmp_path)
    assert keras_file.inspect_keras(path).parameters == 15
    content, messages = path.read_bytes(), []
    for seed in range(count):
        path.write_bytes(change(content, random.Random(seed)))
        for read in (model_format.recognise, keras_file.inspect_keras):
            try:
                read(path)
            except ParedownError as error:
                messages.append(str(error))
    assert count // 2 < len(messages) <= 2 * count
    assert all(10 < len(message) < 2000 for message in messages)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_damaged_saved_models(saved: Path, tmp_path: Path, name: str, count: int) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    assert saved_model.inspect_saved_model(folder).parameters == 12
    content, messages = (folder / name).read_bytes(), []
    for seed in range(count):
        (folder / name).write_bytes(change(content, random.Random(seed)))
        try:
            saved_model.inspect_saved_model(folder)
        except ParedownError as error:
            messages.append(str(error))
    assert 0 < len(messages) <= count
    assert all(10 < len(message) < 2000 for message in messages)


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_tflite_files(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    # LiteRT reads them in a separate process, a second each; test_trial.py has one that crashes.
    monkeypatch.setattr(tflite, "attempt", lambda path: None)
    dense = tf.function(lambda x: x @ tf.ones((4, 3))).get_concrete_function(
        tf.TensorSpec([1, 4], name="x")
    )
    path = tmp_path / "model.tflite"
    content = tf.lite.TFLiteConverter.from_concrete_functions([dense]).convert()
    path.write_bytes(content)
    assert tflite.inspect_tflite(path).operators == {"FULLY_CONNECTED": 1}
    messages = []
    for seed in range(count):
        path.write_bytes(change(content, random.Random(seed)))
        try:
            tflite.inspect_tflite(path)
        except ParedownError as error:
            messages.append(str(error))
    assert 0 < len(messages) <= count
    assert all(len(message) < 2000 for message in messages)
