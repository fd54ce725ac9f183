"""What is checked with TensorFlow before a run begins."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline import environment
from pipeline.checks import preflight, records
from pipeline.config.config_file import Problem, load
from pipeline.plan.plan import make_plan

CONFIG = """\
name: checked
data: {path: data, splits: {train: "train*", eval: "test*"}, label: label}
model:
  module: MODULE
candidates:
  pruned:
    - prune: {sparsity: 0.5}
    - convert: {quantization: int8}
  student:
    - distill: {student: build_student}
    - convert: {quantization: int8}
gate:
  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}
push: {directory: serving}
"""

MODEL = """\
import tf_keras


def build_model(hparams):
    model = tf_keras.Sequential(
        [tf_keras.layers.Input((4,), name="x"), tf_keras.layers.Dense(3, name="last")]
    )
    model.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def build_student(hparams):
    return build_model(hparams)
"""


COMPILED = next(line for line in MODEL.splitlines(keepends=True) if ".compile(" in line)


def write_records(path: Path, count: int, compressed: bool = True) -> None:
    options = tf.io.TFRecordOptions(compression_type="GZIP" if compressed else "")
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for index in range(count):
            example = tf.train.Example()
            example.features.feature["x"].float_list.value.extend([index, 1, 2, 3])
            example.features.feature["label"].int64_list.value.append(index % 3)
            writer.write(example.SerializeToString())


class Folder:
    """A project in a folder of its own, checked in this process."""

    count = 0

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(root)
        # Python keeps modules by name: each project gets a name of its own.
        Folder.count += 1
        self.root = root
        self.module = f"checked_model_{Folder.count}"
        self.config = root / "pipeline.yaml"
        self.config.write_text(CONFIG.replace("MODULE", self.module), encoding="utf-8")
        self.write_model(MODEL)
        (root / "data").mkdir()
        write_records(root / "data/train.tfrecord.gz", 12)
        write_records(root / "data/test.tfrecord.gz", 6)
        monkeypatch.syspath_prepend(str(root))

    def write_model(self, text: str) -> None:
        (self.root / f"{self.module}.py").write_text(text, encoding="utf-8")

    def check(self, *overrides: str, cached: frozenset[str] = frozenset()) -> list[Problem]:
        file = load(self.config, list(overrides))
        before = sorted(self.root.rglob("*"))
        problems = preflight.check(file, make_plan(file.config, file.path), set(cached))
        after = [path for path in sorted(self.root.rglob("*")) if "__pycache__" not in str(path)]
        assert after == [path for path in before if "__pycache__" not in str(path)]
        return problems

    def only_problem(self, *overrides: str, cached: frozenset[str] = frozenset()) -> Problem:
        (problem,) = self.check(*overrides, cached=cached)
        return problem


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)


def test_a_project_without_mistakes_has_no_problems(folder: Folder) -> None:
    assert folder.check() == []


def test_uncompressed_records_are_read_too(folder: Folder) -> None:
    (folder.root / "data/train.tfrecord.gz").unlink()
    write_records(folder.root / "data/train.tfrecord", 5, compressed=False)
    assert folder.check() == []


def test_module_that_raises(folder: Folder) -> None:
    folder.write_model(MODEL + "\nraise OSError('no licence')\n")
    problem = folder.only_problem("candidates.student=[{convert: {quantization: float16}}]")
    assert (problem.key(), problem.line) == ("model.module", 4)
    assert f"importing {folder.module} raised OSError: no licence" in problem.message


def test_function_that_raises(folder: Folder) -> None:
    folder.write_model(
        MODEL.replace(
            "def build_student(hparams):\n", "def build_student(hparams):\n    hparams['width']\n"
        )
    )
    problem = folder.only_problem()
    assert problem.key() == "candidates.student[0].distill.student"
    assert "build_student(hparams) raised KeyError: 'width'" in problem.message


def test_uncompiled_model(folder: Folder) -> None:
    folder.write_model(MODEL.replace(COMPILED, ""))
    problem = folder.only_problem()
    assert "not compiled: call model.compile" in problem.message


def test_keras_3_model(folder: Folder) -> None:
    folder.write_model(MODEL.replace("tf_keras", "keras"))
    problems = folder.check()
    assert "returned a Keras 3 model" in problems[0].message
    assert "import tf_keras" in problems[0].message


def test_label_that_is_not_in_the_data(folder: Folder) -> None:
    text = folder.config.read_text(encoding="utf-8")
    folder.config.write_text(text.replace("label: label", "label: labels"), encoding="utf-8")
    problem = folder.only_problem()
    assert (problem.key(), problem.line) == ("data.label", 2)
    assert "'labels' is no feature of the data, which has ['label', 'x']" in problem.message


def test_input_that_is_no_feature(folder: Folder) -> None:
    folder.write_model(
        MODEL.replace(
            "    model = tf_keras.Sequential(\n"
            '        [tf_keras.layers.Input((4,), name="x"), tf_keras.layers.Dense(3, name="last")]\n'
            "    )\n",
            "    a, b = (tf_keras.layers.Input((4,), name=n) for n in 'xy')\n"
            "    out = tf_keras.layers.Dense(3, name='last')(tf_keras.layers.Add()([a, b]))\n"
            "    model = tf_keras.Model([a, b], out)\n",
        )
    )
    problem = folder.only_problem()
    assert "the model's input 'y' is no feature of the data, which has ['x']" in problem.message


@pytest.mark.parametrize("split", ["train", "test"])
def test_truncated_records(folder: Folder, split: str) -> None:
    path = folder.root / f"data/{split}.tfrecord.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:-7]))
    problem = folder.only_problem()
    assert f"{split}.tfrecord.gz is damaged" in problem.message
    assert problem.key() == f"data.splits.{'eval' if split == 'test' else split}"


def test_truncated_gzip(folder: Folder) -> None:
    path = folder.root / "data/train.tfrecord.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert "train.tfrecord.gz is damaged" in folder.only_problem().message


def test_gzip_cut_off_anywhere_is_not_read_as_a_shorter_file(tmp_path: Path) -> None:
    """TensorFlow alone reads it without complaint where what is left ends with a record."""
    path = tmp_path / "train.tfrecord.gz"
    write_records(path, 12)
    content = path.read_bytes()
    assert records.read_through(str(path))[0] == 12
    for missing in range(1, len(content) // 2):
        path.write_bytes(content[:-missing])
        with pytest.raises((ValueError, tf.errors.OpError)):
            records.read_through(str(path))


def test_flipped_bit(folder: Folder) -> None:
    path = folder.root / "data/train.tfrecord.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[40] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    assert "train.tfrecord.gz is damaged: DataLossError" in folder.only_problem().message


def test_file_without_records(folder: Folder) -> None:
    write_records(folder.root / "data/test.tfrecord.gz", 0)
    assert "test.tfrecord.gz has no records" in folder.only_problem().message


def test_records_that_are_no_examples(folder: Folder) -> None:
    for name in ("train", "test"):
        path = str(folder.root / f"data/{name}.tfrecord.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            writer.write(b"\xff\xff plain text")
    problems = folder.check()
    assert all("its first record is no tf.Example" in problem.message for problem in problems)
    assert len(problems) == 2


def test_layer_pattern_that_matches_nothing(folder: Folder) -> None:
    problem = folder.only_problem("candidates.pruned.0.prune.include=[conv*]")
    assert problem.key() == "candidates.pruned[0].prune"
    assert "'conv*' matches no layer that can be pruned; those are ['last']" in problem.message


def test_metric_with_wrong_arguments(folder: Folder) -> None:
    problem = folder.only_problem("gate.accuracy.config={treshold: 0.5}")
    assert problem.key() == "gate.accuracy.metric"
    assert 'SparseCategoricalAccuracy({"treshold": 0.5})' in problem.message


def test_what_is_cached_is_not_checked_again(folder: Folder) -> None:
    (folder.root / "data/train.tfrecord.gz").write_bytes(b"damaged")
    file = load(folder.config)
    everything = frozenset(node.id for node in make_plan(file.config, file.path).nodes)
    assert folder.check(cached=everything) == []


def nodes_of(folder: Folder) -> dict[str, list[str]]:
    """Candidate → ids of the nodes that it needs."""
    file = load(folder.config)
    plan = make_plan(file.config, file.path)
    return {
        name: [node.id for node in plan.nodes if not node.candidates or name in node.candidates]
        for name in file.config.candidates
    }


def test_a_new_candidate_is_checked_though_all_that_trains_is_cached(folder: Folder) -> None:
    cached = frozenset(id for ids in nodes_of(folder).values() for id in ids)
    new = "candidates.new=[{prune: {sparsity: 0.5}}, {convert: {quantization: int8, sparse: true}}]"
    problem = folder.only_problem(new, cached=cached)
    assert problem.key() == "candidates.new[1].convert.sparse"
    assert "last: is a dense layer, which LiteRT does not load sparse-encoded in int8" in problem.message


def test_a_candidate_whose_file_is_there_is_not_checked_again(folder: Folder) -> None:
    wrong = "candidates.student.0.distill.student=build_nothing"
    file = load(folder.config, [wrong])
    plan = make_plan(file.config, file.path)
    student = frozenset(node.id for node in plan.nodes if "student" in node.candidates)
    assert folder.check(wrong, cached=student) == []


def test_run_refuses_before_it_writes(folder: Folder) -> None:
    """The command as people type it, with a mistake that only TensorFlow can see."""
    path = folder.root / "data/test.tfrecord.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-7]))
    folder.write_model(MODEL.replace(COMPILED, ""))
    before = sorted(folder.root.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "run", "pipeline.yaml"],
        cwd=folder.root,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(environment.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert "is damaged" in done.stderr
    assert "not compiled" in done.stderr
    assert sorted(folder.root.rglob("*")) == before


TWO_OUTPUTS = """\
import tf_keras
from tf_keras import layers


def build_model(hparams):
    x = layers.Input((4,), name="x")
    model = tf_keras.Model(x, [layers.Dense(3)(x), layers.Dense(1)(x)])
    model.compile("sgd", "mse")
    return model
"""


def test_several_outputs(folder: Folder) -> None:
    folder.write_model(TWO_OUTPUTS)
    problem = folder.only_problem("candidates.student=[{convert: {quantization: float16}}]")
    assert "a model with 2 outputs, and 'label' is one label; write label: {" in problem.message


def test_input_of_another_size(folder: Folder) -> None:
    folder.write_model(MODEL.replace("Input((4,)", "Input((5,)"))
    problem = folder.only_problem()
    assert "feature 'x' has 4 values in the first record" in problem.message
    assert "model's input 'x' of shape (5,)" in problem.message


def test_student_of_another_size(folder: Folder) -> None:
    student = MODEL.partition("def build_model")[2].replace("Dense(3", "Dense(2")
    text = (
        MODEL.partition("def build_student")[0]
        + "def build_student"
        + student.partition("def build_student")[0]
    )
    folder.write_model(text)
    problem = folder.only_problem()
    assert problem.key() == "candidates.student[0].distill.student"
    assert "the student gives (None, 2) and the baseline (None, 3)" in problem.message


def test_a_layer_that_cannot_be_quantization_aware(folder: Folder) -> None:
    folder.write_model(
        MODEL.replace("tf_keras.layers.Dense(3", "tf_keras.layers.Rescaling(2.0), tf_keras.layers.Dense(3")
    )
    problem = folder.only_problem(
        "candidates.student=[{qat: {}}, {convert: {quantization: int8}}]",
        "candidates.more=[{prune: {sparsity: 0.5}}, {qat: {}}, {convert: {quantization: int8}}]",
    )
    assert problem.key() == "candidates.student[0].qat"
    assert problem.message == (
        "rescaling: Rescaling has no fake quantization in TFMOT; scale in preprocessing_fn"
    )


def test_slice_by_a_feature_that_is_not_there(folder: Folder) -> None:
    problem = folder.only_problem("gate.accuracy.slices=[{by: labl, min: 0.1}]")
    assert problem.key() == "gate.accuracy.slices[0].by"
    assert "'labl' is no feature of the data; did you mean 'label'?" in problem.message


def test_slices_are_of_raw_features_also_where_the_module_preprocesses(folder: Folder) -> None:
    folder.write_model(MODEL + "\n\ndef preprocessing_fn(inputs):\n    return {**inputs, 'half': inputs}\n")
    problem = folder.only_problem("gate.accuracy.slices=[{by: half, min: 0.1}]")
    assert problem.key() == "gate.accuracy.slices[0].by"
    assert "'half' is no feature of the data" in problem.message


def test_runner_that_beam_does_not_have(folder: Folder) -> None:
    problem = folder.only_problem("run.beam_args=[--runner=Nope]")
    assert problem.key() == "run.beam_args"
    assert "Nope" in problem.message


def test_module_that_exits(folder: Folder) -> None:
    folder.write_model(MODEL + "\nraise SystemExit(0)\n")
    problem = folder.only_problem("candidates.student=[{convert: {quantization: float16}}]")
    assert f"importing {folder.module} raised SystemExit: 0" in problem.message


def test_label_is_looked_for_also_when_the_data_were_read_before(folder: Folder) -> None:
    problem = folder.only_problem("data.label=labels", cached=frozenset({"ImportExampleGen"}))
    assert "'labels' is no feature of the data" in problem.message


def test_names_of_layers_are_the_same_in_each_build(folder: Folder) -> None:
    from components.common.models import user_module

    folder.write_model(MODEL.replace(', name="last"', ""))
    names = [
        [layer.name for layer in user_module.build(folder.module, "build_model", {}).layers]
        for _ in range(3)
    ]
    assert names == [["dense"]] * 3


CONVERTED = "candidates={small: [{convert: {quantization: float16}}]}"


def test_an_imported_model_without_mistakes_has_no_problems(folder: Folder) -> None:
    import tf_keras

    inputs = tf_keras.layers.Input((4,), name="input_1")
    tf_keras.Model(inputs, tf_keras.layers.Dense(3)(inputs)).save(folder.root / "model.h5")

    assert folder.check("model={import: model.h5}", CONVERTED) == []
    problem = folder.only_problem(
        "model={import: model.h5}", "candidates={a: [{fine_tune: {}}, {convert: {quantization: int8}}]}"
    )
    assert problem.key() == "model.import"
    assert "was saved without loss and optimizer, which steps that train need" in problem.message


def test_inputs_of_an_imported_model_that_are_no_features(folder: Folder) -> None:
    import tf_keras

    pair = [tf_keras.layers.Input((4,), name=name) for name in ("left", "right")]
    outputs = tf_keras.layers.Dense(3)(tf_keras.layers.Add()(pair))
    tf_keras.Model(pair, outputs).save(folder.root / "model.h5")

    problem = folder.only_problem("model={import: {path: model.h5, inputs: {left: x}}}", CONVERTED)
    assert problem.key() == "model.import"
    assert problem.message == (
        "the model's inputs are ['left', 'right'] and the features of the data ['x']; write which feature feeds "
        "each: inputs: {right: …}"
    )


def test_an_imported_model_that_tflite_cannot_hold(folder: Folder) -> None:
    spec = tf.TensorSpec([None, 4], tf.float32, "x")
    function = tf.function(
        lambda x: {"y": tf.raw_ops.Bucketize(input=x, boundaries=[0.5]) + 0}, autograph=False
    )
    untold = tf.function(
        lambda x: {"y": tf.linalg.svd(tf.reshape(x, [-1, 2, 2]), compute_uv=False)}, autograph=False
    )
    for name, made in (("fits", function), ("model", untold)):
        signatures = {"serving_default": made.get_concrete_function(x=spec)}
        tf.saved_model.save(tf.Module(), str(folder.root / name), signatures=signatures)

    assert folder.check("model={import: fits}", CONVERTED) == []
    problem = folder.only_problem("model={import: model}", CONVERTED)
    assert problem.key() == "model.import"
    assert problem.message.startswith("TFLite cannot hold the imported model: ")
    assert "Svd" in problem.message
