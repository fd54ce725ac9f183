"""`paredown explain`: what each step will do, what it refuses and why, and that it does no more than look."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from click.testing import CliRunner

from components.tflite_converter.params import ConvertOptions
from pipeline import cli
from pipeline.base.console import make_console
from pipeline.checks import preflight
from pipeline.config.config_file import load
from pipeline.config.problem import Problem
from pipeline.explain import table as explanation_table
from pipeline.explain.explanation import Candidate, to_json
from pipeline.plan.plan import make_plan

ROOT = Path(__file__).parents[3]
IMAGE, SERIES, ROW = (8, 8, 4), (6, 4), (6,)

HEAD = """\
import tensorflow as tf
import tf_keras
from tf_keras import layers
"""
# Between the input `x` and the model, `y` is what a case computes.
BODY = """

def build_model(hparams):
    x = layers.Input({shape}, name="x", dtype="{dtype}")
    {lines}
    y = layers.Dense(3, activation="softmax", name="last")(layers.Flatten(name="flat")(y))
    model = tf_keras.Model(x, y, name="net")
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
"""
CONV = 'y = layers.Conv2D(4, 3, padding="same", name="conv")(x)\n'
INT8 = "{convert: {quantization: int8}}"
QAT = f"[{{qat: {{}}}}, {INT8}]"
PRUNE = f"[{{prune: {{sparsity: 0.5}}}}, {INT8}]"
CLUSTER = f"[{{cluster: {{clusters: 8}}}}, {INT8}]"
WITHOUT = "leave `qat` out: post-training int8 needs no such support"
SUBCLASSED = 'y = Net(name="inner")(x)'
NESTED = 'y = tf_keras.Sequential([layers.Conv2D(4, 3), layers.ReLU()], name="inner")(x)'

CONFIG = """\
name: explained
data: {{path: data, splits: {{train: "train*", eval: "test*"}}, label: label}}
model:
  module: {module}
candidates:
  one: {chain}
gate:
  accuracy: {{metric: SparseCategoricalAccuracy, max_drop: 0.01}}
push: {{directory: serving}}
"""


@dataclass(frozen=True)
class Case:
    """A model that a technique cannot handle.

    Attributes:
        chain: The candidate's steps, as YAML.
        lines: Of build_model, which make `y` out of `x`.
        key: Where the mistake is, below `candidates.one`; or that of the model.
        message: All of what is said.
        shape: Of the input.
        before: Lines before build_model.
    """

    chain: str
    lines: str
    key: str
    message: str
    shape: tuple[int, ...] = IMAGE
    before: str = ""
    dtype: str = "float32"

    def source(self) -> str:
        lines = "\n    ".join(self.lines.strip().splitlines())
        return HEAD + self.before + BODY.format(shape=self.shape, dtype=self.dtype, lines=lines)


OWN_LAYER = """

class Scale(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight("kernel", shape[-1:])

    def call(self, values):
        return values * self.kernel
"""
OWN_MODEL = """

class Net(tf_keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(3)

    def call(self, values):
        return self.dense(values)

    def get_config(self):
        return {"name": self.name}
"""
OWN_FUNCTION = """

def double(values):
    return 2 * values
"""
STUDENT = """

def build_student(hparams):
    x = layers.Input((8, 8, 4), name="x")
    hidden = layers.Dense(5, activation="relu", name="hidden")(layers.Flatten()(x))
    return tf_keras.Model(x, layers.Dense({units}, activation="softmax", name="answer")(hidden))
"""
DEPTHWISE = """
y = layers.Conv2D(128, 1, name="conv")(x)
y = layers.DepthwiseConv2D(3, name="depthwise")(y)
"""

CASES: dict[str, Case] = {
    "Conv3D in qat": Case(
        QAT,
        'y = layers.Conv3D(4, 2, name="conv3d")(x)',
        "[0].qat",
        f"conv3d: Conv3D has no fake quantization in TFMOT; {WITHOUT}",
        (4, 4, 4, 2),
    ),
    "Conv3D in int8": Case(
        f"[{INT8}]",
        'y = layers.Conv3D(4, 2, name="conv3d")(x)',
        "[0].convert.quantization",
        "conv3d: becomes CONV_3D, which has no int8 kernel; write another layer, quantization: dynamic, or "
        "float_ops: [CONV_3D], which leaves it in float",
        (4, 4, 4, 2),
    ),
    "subclassed model inside the model in prune": Case(
        PRUNE,
        SUBCLASSED,
        "[0].prune",
        "inner is a model inside the model, whose layers cannot be pruned one by one: put its layers into the "
        "model itself, or leave it dense with exclude: [inner]",
        before=OWN_MODEL,
    ),
    "subclassed model inside the model in cluster": Case(
        CLUSTER,
        SUBCLASSED,
        "[0].cluster",
        "inner is a model inside the model, whose layers cannot be clustered one by one: put its layers into "
        "the model itself, or leave it as it is with exclude: [inner]",
        before=OWN_MODEL,
    ),
    "subclassed model inside the model in qat": Case(
        QAT,
        SUBCLASSED,
        "[0].qat",
        "inner: is a model inside the model, which TFMOT cannot quantize; put its layers into the model itself",
        before=OWN_MODEL,
    ),
    "Lambda in qat": Case(
        QAT,
        CONV + 'y = layers.Lambda(lambda values: 2 * values, name="double")(y)',
        "[0].qat",
        "double: Lambda has no fake quantization in TFMOT; write one of Keras's layers",
    ),
    "operator + in qat": Case(
        QAT,
        CONV + "y = y + x",
        "[0].qat",
        "tf.__operators__.add: TFOpLambda has no fake quantization in TFMOT; write the Keras layer of that "
        "operation, layers.Add in place of +, layers.ReLU in place of tf.nn.relu, or keep in float what else "
        "cannot be int8: exclude: [tf.__operators__.add, last]",
    ),
    "tf.nn.relu in qat": Case(
        QAT,
        CONV + "y = tf.nn.relu(y)",
        "[0].qat",
        "tf.nn.relu: TFOpLambda has no fake quantization in TFMOT; write the Keras layer of that operation, "
        "layers.Add in place of +, layers.ReLU in place of tf.nn.relu, or keep in float what else cannot be "
        "int8: exclude: [tf.nn.relu, last]",
    ),
    "activation before BatchNormalization in qat": Case(
        QAT,
        'y = layers.Conv2D(4, 3, activation="relu", name="conv")(x)\n'
        'y = layers.BatchNormalization(name="norm")(y)',
        "[0].qat",
        "norm: is BatchNormalization that cannot be folded into conv, which has activation relu; write Conv2D, "
        "BatchNormalization and then the activation as a separate layer, or keep in float what else cannot "
        "be int8: exclude: [norm, last]",
    ),
    "BatchNormalization first in qat": Case(
        QAT,
        'y = layers.BatchNormalization(name="norm")(x)',
        "[0].qat",
        "norm: is BatchNormalization that follows no convolution or Dense, so that it cannot be folded; move "
        "it behind one",
    ),
    "BatchNormalization after Add in qat": Case(
        QAT,
        CONV + 'y = layers.BatchNormalization(name="norm")(layers.Add(name="add")([x, y]))',
        "[0].qat",
        "norm: is BatchNormalization that follows no convolution or Dense, so that it cannot be folded; move "
        "it behind one, or keep in float what else cannot be int8: exclude: [norm, last]",
    ),
    "Rescaling in qat": Case(
        QAT,
        'y = layers.Rescaling(1 / 255, name="scale")(x)',
        "[0].qat",
        "scale: Rescaling has no fake quantization in TFMOT; scale in preprocessing_fn",
    ),
    "LayerNormalization in qat": Case(
        QAT,
        CONV + 'y = layers.LayerNormalization(name="norm")(y)',
        "[0].qat",
        "norm: LayerNormalization has no fake quantization in TFMOT; LiteRT has no int8 kernel for it, only for its "
        "parts; write BatchNormalization behind a "
        "convolution or Dense, or keep in float what else cannot be int8: exclude: [norm, last]",
    ),
    "MultiHeadAttention in qat": Case(
        QAT,
        'y = layers.MultiHeadAttention(2, 4, name="attention")(x, x)',
        "[0].qat",
        f"attention: MultiHeadAttention has no fake quantization in TFMOT; {WITHOUT}",
        SERIES,
    ),
    "Embedding in qat": Case(
        QAT,
        'y = layers.Embedding(20, 4, name="embedding")(x)',
        "[0].qat",
        "embedding: Embedding has no fake quantization in TFMOT; it reads whole numbers, which fake quantization at "
        "the input would change; look the rows up in preprocessing_fn",
        ROW,
        dtype="int32",
    ),
    "LSTM in any file": Case(
        "[{convert: {quantization: float32}}]",
        'y = layers.LSTM(4, name="lstm")(x)',
        "model.module",
        "TFLite cannot hold the model that build_model returns: TensorListReserve of layer lstm: requires "
        "element_shape to be static during TF Lite transformation pass; write unroll=True in the recurrent layer",
        SERIES,
    ),
    "LSTM in qat": Case(
        QAT,
        'y = layers.LSTM(4, unroll=True, name="lstm")(x)',
        "[0].qat",
        f"lstm: LSTM has no fake quantization in TFMOT; {WITHOUT}",
        SERIES,
    ),
    "layer of one's own in qat": Case(
        QAT,
        'y = Scale(name="scale")(x)',
        "[0].qat",
        f"scale: Scale has no fake quantization in TFMOT; {WITHOUT}",
        before=OWN_LAYER,
    ),
    "elu in qat": Case(
        QAT,
        'y = layers.Dense(6, activation="elu", name="dense")(layers.Flatten(name="first")(x))',
        "[0].qat",
        "dense: has activation elu, which TFMOT cannot fake-quantize; write one of relu, tanh, sigmoid, "
        "softmax, gelu",
    ),
    "swish inside a layer in qat": Case(
        QAT,
        'y = layers.Conv2D(4, 3, activation="swish", name="conv")(x)',
        "[0].qat",
        "conv: has activation swish, which TFMOT knows only as a separate layer; write "
        "layers.Activation('swish') behind it",
    ),
    "dilated convolution in qat": Case(
        QAT,
        'y = layers.Conv2D(4, 3, dilation_rate=2, name="conv")(x)',
        "[0].qat",
        f"conv: is a dilated convolution, which would stay in float; {WITHOUT}, or keep in float what else "
        "cannot be int8: exclude: [conv]",
    ),
    "Dense on a series in qat": Case(
        QAT,
        'y = layers.Dense(6, name="dense")(x)',
        "[0].qat",
        "dense: is Dense on an input of 3 axes, which would stay in float; write Conv2D with a kernel of "
        "(1, 1), on an input of shape (…, 1, channels), or keep in float what else cannot be int8: "
        "exclude: [dense]",
        SERIES,
    ),
    "ELU in int8": Case(
        f"[{INT8}]",
        'y = layers.Conv2D(4, 3, activation="elu", name="conv")(x)',
        "[0].convert.quantization",
        "conv: becomes ELU, which has no int8 kernel; write another layer, quantization: dynamic, or "
        "float_ops: [ELU], which leaves it in float",
    ),
    "PReLU in int16x8": Case(
        "[{convert: {quantization: int16x8}}]",
        CONV + 'y = layers.PReLU(shared_axes=[1, 2], name="prelu")(y)',
        "[0].convert.quantization",
        "prelu: becomes PRELU, which has no int16x8 kernel; write another layer, or quantization: int8, "
        "dynamic or float16",
    ),
    "GroupNormalization in int8": Case(
        f"[{INT8}]",
        CONV + 'y = layers.GroupNormalization(2, name="norm")(y)',
        "[0].convert.quantization",
        "norm: GroupNormalization cannot be calibrated for int8; write LayerNormalization or "
        "BatchNormalization, or quantization: dynamic",
    ),
    "function as activation": Case(
        PRUNE,
        'y = layers.Conv2D(4, 3, activation=double, name="conv")(x)',
        "model.module",
        "{module}.build_model returned a model that cannot be saved and loaded, as it is between steps: "
        "activation of layer conv is double, a function of your own, which Keras does not find again; write a "
        "class in its place, for an activation a layer",
        before=OWN_FUNCTION,
    ),
    "2:4 with too few channels": Case(
        f"[{{prune: {{m_by_n: [2, 4], include: [conv]}}}}, {INT8}]",
        'y = layers.Conv2D(4, 3, name="conv")(x[..., :3])',
        "[0].prune",
        "include: 'conv' matches no layer that can have 2:4 sparsity (conv: 3 input channels, fewer than 4); "
        "take it out, or prune these layers in another `prune` step with `sparsity` alone",
    ),
    "blocks in a convolution": Case(
        f"[{{prune: {{sparsity: 0.5, block: [4, 1], include: [conv]}}}}, {INT8}]",
        CONV,
        "[0].prune",
        "include: 'conv' matches no layer that can have block sparsity (conv: Conv2D is not Dense); take it "
        "out, or prune these layers in another `prune` step with `sparsity` alone",
    ),
    "per_layer that matches nothing": Case(
        f"[{{prune: {{sparsity: 0.5, per_layer: {{block*: 0.8}}}}}}, {INT8}]",
        CONV,
        "[0].prune",
        "per_layer: pattern 'block*' matches no layer that is pruned; those are ['conv', 'last']",
    ),
    "float_ops that the model does not have": Case(
        "[{convert: {quantization: int8, float_ops: [TANH]}}]",
        CONV,
        "[0].convert.float_ops",
        "float_ops: the model has no operator TANH; it has CONV_2D, FULLY_CONNECTED, RESHAPE, SOFTMAX. Write "
        "one of them",
    ),
    "student of another size": Case(
        f"[{{distill: {{}}}}, {INT8}]",
        CONV,
        "[0].distill.student",
        "build_student does not fit build_model: the student gives (None, 2) and the baseline (None, 3); let "
        "the student end in a layer of the same size",
        before=STUDENT.format(units=2),
    ),
    "features of a layer that is not there": Case(
        f"[{{distill: {{features: {{con: hidden}}}}}}, {INT8}]",
        CONV,
        "[0].distill.features",
        "build_student does not fit build_model: features: the baseline has no layer 'con'; did you mean "
        "'conv'? Its layers are ['conv', 'flat', 'last']",
        before=STUDENT.format(units=3),
    ),
    "sparse without zeros": Case(
        "[{convert: {quantization: float32, sparse: true}}]",
        CONV,
        "[0].convert.sparse",
        "sparse: true would store no layer sparsely, as none has zeros enough (30%); write a `prune` step "
        "before `convert`, or leave `sparse` out",
    ),
    "sparse int8 of a dense layer": Case(
        "[{prune: {sparsity: 0.5}}, {convert: {quantization: int8, sparse: true}}]",
        CONV,
        "[1].convert.sparse",
        "last: is a dense layer, which LiteRT does not load sparse-encoded in int8; leave `sparse` out (zeros "
        "then show in gzip_size), or write quantization: float32",
    ),
    "clustered depthwise convolution in dynamic": Case(
        "[{cluster: {clusters: 8}}, {convert: {quantization: dynamic}}]",
        DEPTHWISE,
        "[1].convert.quantization",
        "depthwise: is a depthwise convolution, which dynamic files cannot hold with one scale for each "
        "kernel, which the clustered layers need; write quantization: int8",
    ),
}


class Project:
    """A project in a folder of its own, explained in this process."""

    count = 0

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(root)
        monkeypatch.syspath_prepend(str(root))
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        Project.count += 1  # Python keeps modules by name
        self.root = root
        self.module = f"explained_model_{Project.count}"
        self.config = root / "pipeline.yaml"

    def write(self, case: Case) -> None:
        self.config.write_text(CONFIG.format(module=self.module, chain=case.chain), encoding="utf-8")
        (self.root / f"{self.module}.py").write_text(case.source(), encoding="utf-8")
        (self.root / "data").mkdir()
        for name in ("train", "test"):
            self._write_records(name, math.prod(case.shape), case.dtype)

    def _write_records(self, name: str, values: int, dtype: str) -> None:
        path = str(self.root / "data" / f"{name}.tfrecord.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for index in range(4):
                example = tf.train.Example()
                if dtype == "float32":
                    example.features.feature["x"].float_list.value.extend([index / 4] * values)
                else:
                    example.features.feature["x"].int64_list.value.extend([index] * values)
                example.features.feature["label"].int64_list.value.append(index % 3)
                writer.write(example.SerializeToString())

    def explain(self, *overrides: str) -> tuple[list[Candidate], list[Problem]]:
        """As the command does; nothing in the project's folder may change by that."""
        before = self.files()
        file = load(self.config, list(overrides))
        found = preflight.explain(file, make_plan(file.config, file.path))
        assert self.files() == before
        return found.candidates, found.problems

    def files(self) -> dict[Path, int]:
        return {
            path: path.stat().st_mtime_ns
            for path in self.root.rglob("*")
            if "__pycache__" not in path.parts and path.is_file()
        }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", CASES)
def test_a_model_that_a_technique_cannot_handle(project: Project, name: str) -> None:
    case = CASES[name]
    project.write(case)

    candidates, problems = project.explain()

    (problem,) = problems
    assert problem.message == case.message.replace("{module}", project.module)
    if case.key == "model.module":
        assert problem.key() == case.key
        assert candidates == []
        return
    assert problem.key() == f"candidates.one{case.key}"
    (candidate,) = candidates
    assert candidate.refused() and candidate.size is None


@pytest.mark.parametrize("name", ["Lambda in qat", "LSTM in any file", "student of another size"])
def test_the_check_before_run_is_the_same(project: Project, name: str) -> None:
    project.write(CASES[name])
    file = load(project.config, [])
    _, problems = project.explain()
    assert len(problems) == 1
    assert preflight.check(file, make_plan(file.config, file.path), set()).problems == problems


def test_subclassed_models_are_refused_where_they_are_built(project: Project) -> None:
    project.write(Case(PRUNE, CONV, "", "", before=OWN_MODEL))
    source = (project.root / f"{project.module}.py").read_text(encoding="utf-8")
    built = "    model = Net()\n    model.build((None, 8, 8, 4))\n    model.compile('sgd', 'mse')\n    return model\n"
    (project.root / f"{project.module}.py").write_text(
        source.partition("\ndef build_model")[0] + "\ndef build_model(hparams):\n" + built, encoding="utf-8"
    )

    candidates, (problem,) = project.explain()

    assert candidates == []
    assert problem.key() == "model.module"
    assert problem.message == (
        f"{project.module}.build_model returned a model whose input shapes are unknown: build it with the "
        "functional API, or begin a Sequential model with tf_keras.layers.Input"
    )


def test_layers_that_cannot_be_told_apart_in_a_file_are_refused(project: Project) -> None:
    own = OWN_LAYER.replace(
        '        self.kernel = self.add_weight("kernel", shape[-1:])\n',
        '        self.kernel = self.add_weight("kernel", shape[-1:])\n'
        '        self.other = self.add_weight("kernel", shape[-1:])\n',
    )
    project.write(Case(PRUNE, CONV + 'y = Scale(name="scale")(y)', "", "", before=own))

    _, (problem,) = project.explain()

    assert problem.key() == "model.module"
    assert "cannot be saved and loaded, as it is between steps: ValueError: " in problem.message
    assert problem.message.endswith("and each layer and weight a name of its own")


# What a message says to write instead, and what to write it for.
INSTEAD: dict[str, tuple[str, Case]] = {
    "the activation behind BatchNormalization": (
        "activation before BatchNormalization in qat",
        Case(
            QAT,
            CONV + 'y = layers.BatchNormalization(name="norm")(y)\ny = layers.ReLU(name="relu")(y)',
            "",
            "",
        ),
    ),
    "Add for +": ("operator + in qat", Case(QAT, CONV + "y = layers.Add()([x, y])", "", "")),
    "ReLU for tf.nn.relu": ("tf.nn.relu in qat", Case(QAT, CONV + "y = layers.ReLU()(y)", "", "")),
    "swish as a layer": (
        "swish inside a layer in qat",
        Case(QAT, CONV + "y = layers.Activation('swish', name='swish')(y)", "", ""),
    ),
    "Conv2D for Dense on a series": (
        "Dense on a series in qat",
        Case(
            QAT, "y = layers.Conv2D(6, (1, 1), name='dense')(layers.Reshape((6, 1, 4))(x))", "", "", SERIES
        ),
    ),
    "unroll=True": (
        "LSTM in any file",
        Case(f"[{INT8}]", 'y = layers.LSTM(4, unroll=True, name="lstm")(x)', "", "", SERIES),
    ),
    "float_ops for Conv3D": (
        "Conv3D in int8",
        Case(
            "[{convert: {quantization: int8, float_ops: [CONV_3D]}}]",
            'y = layers.Conv3D(4, 2, name="conv3d")(x)',
            "",
            "",
            (4, 4, 4, 2),
        ),
    ),
    "exclude of a subclassed model in prune": (
        "subclassed model inside the model in prune",
        Case(
            f"[{{prune: {{sparsity: 0.5, exclude: [inner]}}}}, {INT8}]",
            SUBCLASSED,
            "",
            "",
            before=OWN_MODEL,
        ),
    ),
    "exclude of BatchNormalization after Add": (
        "BatchNormalization after Add in qat",
        Case(
            f"[{{qat: {{exclude: [norm, last]}}}}, {INT8}]",
            CASES["BatchNormalization after Add in qat"].lines,
            "",
            "",
        ),
    ),
    "int8 for clustered depthwise convolutions": (
        "clustered depthwise convolution in dynamic",
        Case(CLUSTER, DEPTHWISE, "", ""),
    ),
}


@pytest.mark.parametrize("name", INSTEAD)
def test_what_is_to_be_written_instead_is_accepted(project: Project, name: str) -> None:
    of, case = INSTEAD[name]
    assert of in CASES
    project.write(case)

    (candidate,), problems = project.explain()

    assert problems == []
    assert candidate.size is not None and not candidate.refused()


def test_whether_an_excluded_layer_stays_in_float_is_seen_in_the_file(project: Project) -> None:
    from components.common.models import model_files
    from components.common.tflite import tflite_file
    from components.quantization_aware_trainer.executor import prepare, quantize
    from components.tflite_converter.executor import convert

    lines = CONV + 'y = layers.Conv2D(4, 3, name="middle")(y)\ny = layers.Conv2D(4, 3, name="third")(y)'
    project.write(Case(f"[{{qat: {{exclude: [middle]}}}}, {INT8}]", lines, "", ""))

    (candidate,), problems = project.explain()

    model = quantize(prepare(candidate.steps[0].explanation.after.model, ["middle"]), ["middle"])
    folder = project.root / "saved"
    model_files.save_serving(model, str(folder), ["x"])
    path = project.root / "tflite"
    path.write_bytes(convert(str(folder), ConvertOptions(quantization="int8"), True, None))
    dtypes = {kernel.layer: kernel.dtype for kernel in tflite_file.read(path).kernels}
    assert (dtypes["conv"], dtypes["third"]) == ("int8", "int8")
    said = [problem.message for problem in problems]
    if dtypes["middle"] == "float32":
        assert said == []
    else:
        assert said == ["middle: would be int8 all the same, as all around it is; take it out of `exclude`"]


def test_what_reads_an_excluded_layer_is_refused(project: Project) -> None:
    lines = CONV + 'y = layers.BatchNormalization(name="norm")(layers.Add(name="add")([x, y]))'
    project.write(Case(f"[{{qat: {{exclude: [norm]}}}}, {INT8}]", lines, "", ""))

    _, (problem,) = project.explain()

    assert problem.key() == "candidates.one[0].qat.exclude"
    assert problem.message == (
        "last: would stay in float, as it reads what `exclude` leaves in float; leave `qat` out: "
        "post-training int8 needs no such support, or write it into `exclude` too"
    )


MNIST = str(ROOT / "configs/mnist/pipeline.yaml")


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`explain --json` of the shipped example, in a process of its own."""
    root = tmp_path_factory.mktemp("mnist") / "root"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pipeline.cli",
            "explain",
            MNIST,
            "--json",
            "--set",
            f"run.pipeline_root={root}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert not root.exists()
    return json.loads(done.stdout)


def test_json_has_what_scripts_need(mnist: dict[str, Any]) -> None:
    assert mnist["problems"] == []
    assert list(mnist["candidates"]) == [
        "dynamic",
        "int8",
        "pruned-int8",
        "qat-int8",
        "pruned-qat-int8",
        "distilled-int8",
    ]
    candidate = mnist["candidates"]["pruned-qat-int8"]
    assert set(candidate) == {"steps", "layer_bytes", "other_bytes", "predicted_bytes", "predicted_ratio"}
    assert [step["technique"] for step in candidate["steps"]] == ["prune", "qat", "convert"]
    prune, qat, convert = candidate["steps"]
    assert set(prune) == {"technique", "options", "training", "layers", "notes", "remarks", "refusals"}
    # Batches as in model.train; learning rate, optimizer and loss as build_model compiles.
    assert prune["training"] == {
        "steps": 938,
        "epochs": 2,
        "batch_size": 128,
        "optimizer": "Adam",
        "learning_rate": 0.001,
        "loss": ["sparse_categorical_crossentropy"],
    }
    assert qat["training"]["learning_rate"] == 0.0001 and qat["training"]["steps"] == 469
    assert convert["training"] is None and prune["notes"] == prune["remarks"] == []
    assert qat["remarks"] == [
        "Ranges of activations are set from 200 training examples (least and greatest values) and then follow the "
        "batches.",
        "Layers of BatchNormalization keep the statistics that they have.",
    ]
    assert prune["options"]["sparsity"] == 0.8 and prune["refusals"] == []
    kernels = ["conv1", "conv2", "dense", "probabilities"]
    assert prune["layers"] == dict.fromkeys(kernels, "80% zeros")
    assert qat["layers"] == dict.fromkeys(kernels, "int8, keeps its zeros")
    assert convert["layers"]["dense"] == "int8, 804,864 B"
    # 7 × 7 × 32 inputs, 512 outputs, int32 biases.
    assert candidate["layer_bytes"]["dense"] == 7 * 7 * 32 * 512 + 4 * 512
    assert list(candidate["layer_bytes"]) == kernels
    assert sum(candidate["layer_bytes"].values()) + candidate["other_bytes"] == candidate["predicted_bytes"]
    assert 0 < candidate["other_bytes"] < 10_000 and mnist["warnings"] == []


def test_predictions_for_the_shipped_example_are_those_of_its_real_files(mnist: dict[str, Any]) -> None:
    # Bytes of the files that a run of configs/mnist/pipeline.yaml wrote, on TensorFlow 2.16.
    real = {
        "dynamic": 818_700,
        "int8": 819_400,
        "pruned-int8": 819_400,
        "qat-int8": 819_900,
        "pruned-qat-int8": 819_900,
        "distilled-int8": 6_500,
    }
    for name, size in real.items():
        assert mnist["candidates"][name]["predicted_bytes"] == pytest.approx(size, rel=0.1), name
    assert mnist["candidates"]["int8"]["predicted_ratio"] == pytest.approx(0.252, abs=0.002)


def test_a_limit_that_a_prediction_misses_is_warned_of_before_anything_is_trained(project: Project) -> None:
    project.write(Case(f"[{INT8}]", CONV, "", ""))
    plain = load(project.config, [])
    size = preflight.explain(plain, make_plan(plain.config, plain.path)).candidates[0].size
    assert size is not None

    def examined(limits: str) -> preflight.Examined:
        file = load(project.config, [f"gate.size={limits}"])
        return preflight.check(file, make_plan(file.config, file.path), set())

    found = examined(f"{{max: {size * 0.88:.0f}, max_ratio: 0.001, min: 10}}")
    assert found.problems == [] == found.refused(strict=False)
    assert [warning.key() for warning in found.warnings] == ["gate.size.max", "gate.size.max_ratio"]
    message = found.warnings[0].message
    assert message.startswith("one is predicted to miss this limit: size ") and " is above " in message
    assert found.refused(strict=True) == found.warnings
    # Predictions are not nearer than that, and say nothing about the compressed file.
    assert examined(f"{{max: {size * 0.97:.0f}}}").warnings == []
    assert examined("{of: gzip, max: 10}").warnings == []


def test_strict_refuses_what_is_a_warning(project: Project) -> None:
    project.write(Case(f"[{INT8}]", CONV, "", ""))
    limit = ["--set", "gate.size={max: 100}"]
    warned = run_explain(project, *limit)
    assert warned.exit_code == 0, warned.output
    assert (
        "warning: --set gate.size={max: 100}: gate.size.max: one is predicted to miss this limit"
        in warned.stderr
    )
    refused = run_explain(project, *limit, "--strict")
    assert (
        refused.exit_code == 2
        and "\n--set gate.size={max: 100}: gate.size.max: one" in f"\n{refused.stderr}"
    )
    rows = json.loads(run_explain(project, *limit, "--json").stdout)
    assert (rows["problems"], [row["key"] for row in rows["warnings"]]) == ([], ["gate.size.max"])


def test_where_the_bytes_go_adds_up_to_the_file(project: Project) -> None:
    project.write(Case(f"[{INT8}]", CONV, "", ""))
    (candidate,), _ = project.explain()
    for width in (120, 30):
        console = make_console(io.StringIO(), width=width, record=True)
        explanation_table.show(console, [candidate])
        text = " ".join(console.export_text().split())
        shown = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) B\b", text)]
        assert "all else" in text and sum(shown) == candidate.size, text


def run_explain(project: Project, *arguments: str) -> Any:
    return CliRunner().invoke(cli.main, ["explain", str(project.config), *arguments])


def command(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program as people call it, from the project's folder."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        cwd=project.root,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "100",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_refused_candidate_ends_explain_and_run_with_2(project: Project) -> None:
    case = CASES["BatchNormalization after Add in qat"]
    project.write(case)
    before = project.files()

    explained = command(project, "explain", "pipeline.yaml")
    as_json = command(project, "explain", "pipeline.yaml", "--json")
    ran = command(project, "run", "pipeline.yaml")

    assert (explained.returncode, as_json.returncode, ran.returncode) == (2, 2, 2)
    assert "one  cannot be built" in explained.stdout
    assert f"qat: {case.message}" in " ".join(explained.stdout.split())
    assert explained.stderr == "pipeline.yaml: cannot be built: one\n"
    (row,) = json.loads(as_json.stdout)["problems"]
    assert row == {
        "file": "pipeline.yaml",
        "line": 6,
        "key": "candidates.one[0].qat",
        "message": case.message,
    }
    (step,) = json.loads(as_json.stdout)["candidates"]["one"]["steps"]
    assert step["refusals"][0]["layer"] == "norm"
    assert ran.stdout == ""
    assert ran.stderr == f"pipeline.yaml:6: candidates.one[0].qat: {case.message}\n"
    assert project.files() == before


def test_a_broken_config_is_told_as_validate_tells_it(project: Project) -> None:
    project.config.write_text("name: [unfinished\n", encoding="utf-8")
    explained = run_explain(project)
    validated = CliRunner().invoke(cli.main, ["validate", str(project.config)])
    assert explained.exit_code == validated.exit_code == 2
    assert explained.stderr == validated.stderr != ""


def test_a_candidate_that_is_not_there_is_refused(project: Project) -> None:
    project.write(Case(PRUNE, CONV, "", ""))
    result = run_explain(project, "--only", "two")
    assert result.exit_code == 2
    assert "no candidate 'two'; there are one" in result.stderr


def test_nothing_is_trained_or_calibrated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every technique, and not one step of an optimizer; the converter is asked for float32 alone."""
    import tf_keras

    from components.tflite_converter import executor
    from pipeline.explain import explanation as explain

    chain = "[{prune: {sparsity: 0.5}}, {cluster: {clusters: 8}}, {qat: {}}, {fine_tune: {}}, " + INT8 + "]"
    lines = CONV + 'y = layers.BatchNormalization(name="norm")(y)'
    project.write(Case(chain, lines, "", ""))
    asked = []

    def convert(saved_model: str, options: Any, *others: Any) -> bytes:
        asked.append((options, *others))
        return executor.convert(saved_model, options, *others)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("explain trains")

    monkeypatch.setattr(explain, "convert", convert)
    monkeypatch.setattr(tf_keras.Model, "fit", refuse)
    monkeypatch.setattr(tf_keras.Model, "train_on_batch", refuse)

    (candidate,), problems = project.explain()

    assert problems == []
    assert (
        asked == [(ConvertOptions(quantization="float32"), False, None)] * 2
    )  # the baseline, and without its norm
    effects = [step.explanation.effects["conv"] for step in candidate.steps]
    assert effects == [
        "50% zeros",
        "8 values",
        "int8, keeps its zeros and shared values",
        "keeps its zeros and shared values",
        f"int8, {3 * 3 * 4 * 4 + 4 * 4} B",
    ]


def test_a_model_inside_the_model_is_taken_apart_for_every_step(project: Project) -> None:
    chain = "[{prune: {sparsity: 0.5}}, {cluster: {clusters: 8}}, {qat: {}}, " + INT8 + "]"
    nested = NESTED.replace("Conv2D(4, 3)", 'Conv2D(4, 3, name="conv")')
    project.write(Case(chain, nested, "", ""))
    (candidate,), problems = project.explain()

    assert problems == []
    effects = [step.explanation.effects["conv"] for step in candidate.steps]
    assert effects[:3] == ["50% zeros", "8 values", "int8, keeps its zeros and shared values"]


def test_how_a_step_trains_and_that_it_is_too_short_for_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(
        Case(
            "[{prune: {sparsity: 0.5, steps: 36, batch_size: 8}}, {fine_tune: {}}, " + INT8 + "]",
            CONV,
            "",
            "",
        )
    )
    (candidate,), problems = project.explain()

    assert problems == []
    shown = " ".join(" ".join(rendered([candidate], 160, monkeypatch)).split())
    assert (
        "prune: 36 steps with batches of 8, SGD, learning rate 0.01, loss sparse_categorical_crossentropy"
        in shown
    )
    assert "prune: 36 steps are too few to prune in" in shown
    assert "fine_tune: 1 steps with batches of 128, SGD, learning rate 0.01, loss" in shown


def test_a_schedule_without_a_learning_rate_to_go_by_is_refused_before_training(project: Project) -> None:
    chain = "[{fine_tune: {learning_rate_schedule: {kind: cosine}}}, " + INT8 + "]"
    project.write(Case(chain, CONV, "", ""))
    module = project.root / f"{project.module}.py"
    schedule = "tf_keras.optimizers.SGD(tf_keras.optimizers.schedules.CosineDecay(0.1, 9))"
    module.write_text(module.read_text(encoding="utf-8").replace('"sgd"', schedule), encoding="utf-8")
    _, problems = project.explain()

    (problem,) = problems
    assert problem.key() == "candidates.one[0].fine_tune.learning_rate_schedule"
    assert problem.message.startswith(
        "the model is compiled with its own learning rate schedule; write learning_rate"
    )


def rendered(candidates: list[Candidate], width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    console = make_console()
    with console.capture() as capture:
        explanation_table.show(console, candidates)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [80, 120, 160])
def test_tables_fit_the_terminal(project: Project, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    chain = "[{prune: {sparsity: 0.5}}, {cluster: {clusters: 8}}, {qat: {}}, {fine_tune: {}}, " + INT8 + "]"
    lines = 'y = layers.Conv2D(4, 3, use_bias=False, name="a_rather_long_layer")(x)\n'
    lines += 'y = layers.BatchNormalization(name="a_rather_long_norm")(y)'
    project.write(Case(chain, lines, "", ""))
    candidates, _ = project.explain()

    shown = rendered(candidates, width, monkeypatch)

    assert max(map(len, shown)) <= width
    text = "\n".join(shown)
    assert shown[0].startswith("one  about ")
    assert "…" not in text
    columns = width > 120  # otherwise a paragraph for each layer
    assert ("what becomes of it" in text) != columns
    words = " ".join(text.split())
    for told in (
        "fine_tune",
        "keeps its zeros and shared values",
        "int8, 160 B",
        "folded into a_rather_long_layer",
    ):
        assert told in words


def test_tables_of_a_candidate_that_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["subclassed model inside the model in qat"]
    project.write(case)
    candidates, _ = project.explain()

    shown = rendered(candidates, 80, monkeypatch)

    assert shown[0] == "one  cannot be built"
    assert " ".join(" ".join(shown[1:]).split()) == f"qat: {case.message}"
    assert max(map(len, shown)) <= 80


def test_json_of_a_refused_candidate(project: Project) -> None:
    case = CASES["subclassed model inside the model in prune"]
    project.write(case)
    (candidate,), _ = project.explain()

    told = to_json(candidate)

    assert told["predicted_bytes"] is None and told["predicted_ratio"] is None
    assert told["layer_bytes"] == {}
    assert told["steps"][0]["refusals"] == [{"layer": None, "reason": case.message}]
