"""Models that do not predict the same again are refused by the layer; those that act only in training are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tf_keras
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

from components.common.models import model_format, operator_faults
from components.common.models.repeatability import refuse_unrepeatable
from components.common.models.user_module import UserModuleError

L = tf_keras.layers
RANDOM, CHANGING = "draws random numbers", "keeps values from one prediction to the next"


class Counting(L.Layer):
    def build(self, _: Any) -> None:
        self.calls = self.add_weight("calls", (), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        self.calls.assign_add(1.0)
        return inputs * self.calls


class Noisy(L.Layer):
    """Draws within a loop, whose body is a function of its own in the graph."""

    def call(self, inputs: Any) -> Any:
        return tf.map_fn(lambda row: row + tf.random.uniform(tf.shape(row)), inputs)


class NoisyInTraining(L.Layer):
    def call(self, inputs: Any, training: bool = False) -> Any:
        return inputs + tf.random.uniform(tf.shape(inputs)) if training else inputs


def model_of(change: Callable[[Any], Any]) -> tf_keras.Model:
    """Two numbers for each of four steps, in batches of one, which stateful layers need."""
    tf_keras.backend.clear_session()
    x = L.Input(batch_shape=(1, 4, 2), name="x")
    hidden = L.Dense(3, name="first")(x)
    return tf_keras.Model(x, L.Dense(2, name="last")(L.Flatten()(change(hidden))))


def inner(layer: Any) -> Any:
    x = L.Input(batch_shape=(1, 4, 3))
    return tf_keras.Model(x, layer(x), name="inner")


UNREPEATABLE: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "an operation": (lambda x: x + tf.random.normal(tf.shape(x)), "tf.random.normal", RANDOM),
    "a seeded one": (lambda x: x + tf.random.normal(tf.shape(x), seed=3), "tf.random.normal", RANDOM),
    "a stateless one": (
        lambda x: x * tf.random.stateless_uniform(tf.shape(x), seed=[1, 2]),
        "tf.random.stateless_uniform",
        RANDOM,
    ),
    "a Lambda": (lambda x: L.Lambda(lambda v: tf.random.shuffle(v), name="mixed")(x), "mixed", RANDOM),
    "in a loop": (Noisy(name="noisy"), "noisy", RANDOM),
    "dropout as in training": (lambda x: L.Dropout(0.5, name="mc")(x, training=True), "mc", RANDOM),
    "in an inner model": (lambda x: inner(Noisy(name="deep"))(x), "inner/deep", RANDOM),
    "a stateful LSTM": (lambda x: L.LSTM(3, stateful=True, name="memory")(x), "memory", CHANGING),
    "a stateful GRU": (lambda x: L.GRU(3, stateful=True, unroll=True, name="memory")(x), "memory", CHANGING),
    "a counter": (Counting(name="counting"), "counting", CHANGING),
    "statistics as in training": (lambda x: L.BatchNormalization(name="bn")(x, training=True), "bn", CHANGING),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREPEATABLE)
def test_a_model_that_does_not_predict_the_same_again_is_refused(name: str) -> None:
    change, layer, what = UNREPEATABLE[name]
    with pytest.raises(UserModuleError) as refused:
        refuse_unrepeatable(model_of(change))
    assert str(refused.value).startswith(f"layer '{layer}' {what}")


@pytest.mark.parametrize(
    "layer",
    [
        L.Dropout(0.5),
        L.GaussianNoise(1.0),
        L.GaussianDropout(0.5),
        L.AlphaDropout(0.5),
        L.SpatialDropout1D(0.5),
        L.BatchNormalization(),
        L.LSTM(3),
        L.GRU(3, recurrent_dropout=0.5),
        L.Bidirectional(L.SimpleRNN(3, return_sequences=True)),
        L.MultiHeadAttention(2, 2, dropout=0.5),
        L.SpectralNormalization(L.Dense(2)),
        NoisyInTraining(),
        inner(L.Dropout(0.5)),
    ],
    ids=lambda layer: layer.name,
)  # fmt: skip
def test_what_acts_in_training_alone_is_fine(layer: Any) -> None:
    refuse_unrepeatable(
        model_of(lambda x: layer(x, x) if isinstance(layer, L.MultiHeadAttention) else layer(x))
    )


def test_a_model_that_cannot_predict_is_refused_with_the_reason() -> None:
    class Failing(L.Layer):
        calls = 0

        def call(self, inputs: Any) -> Any:
            self.calls += 1
            if self.calls > 1:
                raise KeyError("nothing to predict with")
            return inputs

    with pytest.raises(UserModuleError, match=r"the model cannot predict: .*nothing to predict with"):
        refuse_unrepeatable(model_of(Failing()))


def test_operators_by_name() -> None:
    """All of TensorFlow's operators are looked at; most of what is stateful only reads."""
    buffer = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    known = {operator.name for operator in op_def_pb2.OpList.FromString(buffer).op}
    found = {name: operator_faults.fault(name) for name in known}
    random = {name for name, fault in found.items() if RANDOM in fault}
    assert random >= {
        *("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "RandomShuffle", "RandomPoissonV2"),
        *("RandomGamma", "TruncatedNormal", "Multinomial", "StatelessMultinomial", "StatelessRandomUniformV2"),
        *("StatelessRandomNormal", "StatelessTruncatedNormalV2", "StatelessShuffle", "StatefulUniform"),
        *("StatefulStandardNormalV2", "StatefulRandomBinomial", "RngReadAndSkip", "NonDeterministicInts"),
        *("FractionalMaxPool", "FixedUnigramCandidateSampler", "LogUniformCandidateSampler"),
    }  # fmt: skip
    changing = {name for name, fault in found.items() if CHANGING in fault}
    assert changing >= {
        *("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp", "Assign", "ScatterUpdate"),
        *("ResourceScatterNdUpdate", "ResourceScatterAdd", "ResourceStridedSliceAssign", "LookupTableInsertV2"),
        *("QueueEnqueueV2", "QueueDequeueV2", "ResourceApplyAdam"),
    }  # fmt: skip
    assert not (random | changing) & {
        *("VarHandleOp", "ReadVariableOp", "ResourceGather", "VariableShape", "LookupTableFindV2", "HashTableV2"),
        *("While", "If", "StatefulPartitionedCall", "Assert", "TensorListSetItem", "ScatterNd", "Pack", "Unpack"),
        *("TensorScatterUpdate", "TensorArrayWriteV3", "MatMul", "RandomDataset", "Shape", "Unique"),
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", ["an operation", "a stateless one", "a stateful LSTM"])
def test_keras_files_say_so(tmp_path: Path, name: str, suffix: str) -> None:
    change, layer, what = UNREPEATABLE[name]
    path = tmp_path / f"model.{suffix}"
    model_of(change).save(path)
    assert f"layer '{layer}' {what}" in model_format.recognise(path).unrepeatable[""]
    model_of(L.Dropout(0.5)).save(path)
    assert model_format.recognise(path).unrepeatable == {}


@pytest.mark.parametrize("name", ["in a loop", "a counter", "a stateful LSTM"])
def test_saved_models_say_so_by_signature(tmp_path: Path, name: str) -> None:
    change, layer, what = UNREPEATABLE[name]
    model = model_of(change)
    good = model_of(L.Dropout(0.5))
    spec = tf.TensorSpec((1, 4, 2), tf.float32, "x")
    signatures = {
        key: tf.function(lambda x, of=of: {"y": of(x)}, autograph=False).get_concrete_function(spec)
        for key, of in (("serving_default", model), ("other", good))
    }
    module = tf.Module()
    module.kept = [model, good]
    # AutoGraph would rewrite Keras.
    save = tf.autograph.experimental.do_not_convert(tf.saved_model.save)
    save(module, str(tmp_path / "saved"), signatures)
    (only,) = (found := model_format.recognise(tmp_path / "saved").unrepeatable)
    assert only == "serving_default"
    assert what in found[only] and layer in found[only]


def test_a_config_may_hold_anything() -> None:
    odd: Any = json.loads(
        '{"class_name": "TFOpLambda", "config": {"function": 3, "stateful": "true", "name": []}}'
    )
    assert operator_faults.in_config(odd, [], None, {"class_name": "LSTM"}) == ""
