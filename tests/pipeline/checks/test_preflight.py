"""What is checked with TensorFlow before a run begins."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline import environment
from pipeline.checks import records
from tests.project import MODEL, Project, changed, examples

CANDIDATES = """
  pruned:
    - prune: {sparsity: 0.5}
    - convert: {quantization: int8}
  student:
    - distill: {student: build_student}
    - convert: {quantization: int8}
"""
COMPILED = next(line for line in MODEL.splitlines(keepends=True) if ".compile(" in line)


@pytest.fixture
def project(project: Project) -> Project:
    """One with a step that trains the baseline on, and a student."""
    project.write_config(candidates=CANDIDATES)
    return project


def test_a_project_without_mistakes_has_no_problems(project: Project) -> None:
    assert project.looked_at() == []


def test_uncompressed_records_are_read_too(project: Project) -> None:
    (project.root / "data/train.tfrecord.gz").unlink()
    project.write_records("train.tfrecord", examples(5))
    assert project.looked_at() == []


def test_module_that_raises(project: Project) -> None:
    project.write_model(MODEL + "\nraise OSError('no licence')\n")
    problem = project.problem("candidates.student=[{convert: {quantization: float16}}]")
    assert (problem.key(), problem.line) == ("model.module", 3)
    assert f"importing {project.module} raised OSError: no licence" in problem.message


def test_function_that_raises(project: Project) -> None:
    project.write_model(
        MODEL.replace(
            "def build_student(hparams):\n", "def build_student(hparams):\n    hparams['width']\n"
        )
    )
    problem = project.problem()
    assert problem.key() == "candidates.student[0].distill.student"
    assert "build_student(hparams) raised KeyError: 'width'" in problem.message


def test_uncompiled_model(project: Project) -> None:
    project.write_model(MODEL.replace(COMPILED, ""))
    problem = project.problem()
    assert "not compiled: call model.compile" in problem.message


def test_keras_3_model(project: Project) -> None:
    project.write_model(MODEL.replace("tf_keras", "keras"))
    problems = project.looked_at()
    assert "returned a Keras 3 model" in problems[0].message
    assert "import tf_keras" in problems[0].message


def test_label_that_is_not_in_the_data(project: Project) -> None:
    text = project.config.read_text(encoding="utf-8")
    project.write_config(changed(text, "label: label", "label: labels"))
    problem = project.problem()
    assert (problem.key(), problem.line) == ("data.label", 2)
    assert "'labels' is not a feature of the data, which has ['label', 'x']" in problem.message


def test_input_that_is_no_feature(project: Project) -> None:
    project.write_model(
        MODEL.replace(
            "    model = tf_keras.Sequential(\n"
            '        [tf_keras.layers.Input((4,), name="x"), tf_keras.layers.Dense(3, name="last")]\n'
            "    )\n",
            "    a, b = (tf_keras.layers.Input((4,), name=n) for n in 'xy')\n"
            "    out = tf_keras.layers.Dense(3, name='last')(tf_keras.layers.Add()([a, b]))\n"
            "    model = tf_keras.Model([a, b], out)\n",
        )
    )
    problem = project.problem()
    assert "the model's input 'y' is not a feature of the data, which has ['x']" in problem.message


@pytest.mark.parametrize("split", ["train", "eval"])
def test_truncated_records(project: Project, split: str) -> None:
    path = project.root / f"data/{split}.tfrecord.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:-7]))
    problem = project.problem()
    assert f"{split}.tfrecord.gz is damaged" in problem.message
    assert problem.key() == f"data.splits.{split}"


def test_truncated_gzip(project: Project) -> None:
    path = project.root / "data/train.tfrecord.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert "train.tfrecord.gz is damaged" in project.problem().message


def test_gzip_cut_off_anywhere_is_not_read_as_a_shorter_file(project: Project) -> None:
    """TensorFlow alone reads it without complaint if what is left ends with a record."""
    path = project.root / "data/train.tfrecord.gz"
    content = path.read_bytes()
    assert records.read_through(str(path))[0] == 12
    for missing in range(1, len(content) // 2):
        path.write_bytes(content[:-missing])
        with pytest.raises((ValueError, tf.errors.OpError)):
            records.read_through(str(path))


@pytest.mark.parametrize(
    ("lengths", "whole"),
    [
        pytest.param([70 * 2**20], True, id="one"),
        pytest.param([70 * 2**20], False, id="one, at the first record"),
        pytest.param([2**62], True, id="claimed"),
        pytest.param([2**62], False, id="claimed, at the first record"),
        pytest.param([100] * 650_000, True, id="many"),
    ],
)
def test_a_gzip_file_that_unpacks_to_far_more_is_refused(
    tmp_path: Path, lengths: list[int], whole: bool
) -> None:
    path = tmp_path / "bomb.tfrecord.gz"
    with gzip.open(path, "wb") as file:
        for length in lengths:
            file.write(struct.pack("<QI", length, 0) + bytes(min(length, 80 * 2**20) + 4))
    with pytest.raises(ValueError, match=f"has {path.stat().st_size:,} bytes and would unpack to "):
        records.read_through(str(path), whole)


def test_flipped_bit(project: Project) -> None:
    path = project.root / "data/train.tfrecord.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[40] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    assert "train.tfrecord.gz is damaged: DataLossError" in project.problem().message


def test_file_without_records(project: Project) -> None:
    project.write_records("eval.tfrecord.gz", [])
    assert "eval.tfrecord.gz has no records" in project.problem().message


def test_records_that_are_no_examples(project: Project) -> None:
    for name in ("train", "eval"):
        path = str(project.root / f"data/{name}.tfrecord.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            writer.write(b"\xff\xff plain text")
    problems = project.looked_at()
    assert all("its first record is not a tf.Example" in problem.message for problem in problems)
    assert len(problems) == 2


def test_layer_pattern_that_matches_nothing(project: Project) -> None:
    problem = project.problem("candidates.pruned.0.prune.include=[conv*]")
    assert problem.key() == "candidates.pruned[0].prune"
    assert "'conv*' matches no layer that can be pruned; those are ['last']" in problem.message


def test_metric_with_wrong_arguments(project: Project) -> None:
    problem = project.problem("gate.accuracy.config={treshold: 0.5}")
    assert problem.key() == "gate.accuracy.metric"
    assert 'SparseCategoricalAccuracy({"treshold": 0.5})' in problem.message


def test_what_is_cached_is_not_checked_again(project: Project) -> None:
    (project.root / "data/train.tfrecord.gz").write_bytes(b"damaged")
    assert project.looked_at(cached=[node.id for node in project.plan().nodes]) == []


@pytest.mark.parametrize(
    "metric",
    [
        "BinaryCrossentropy", "BinaryCrossEntropy", "CategoricalCrossEntropy", "CategoricalHinge", "KLDivergence",
        "Poisson", "MeanSquaredError", "Hinge",
    ],
)  # fmt: skip
def test_a_metric_that_does_not_fit_the_labels_is_refused_though_all_is_cached(
    project: Project, metric: str
) -> None:
    gate = f"gate.accuracy={{metric: {metric}, max_drop: 0.01}}"
    cached = [node.id for node in project.plan(gate).nodes]
    problem = project.problem(gate, cached=cached)
    assert problem.key() == "gate.accuracy.metric"
    assert problem.message.startswith(
        f"{metric} compares value by value, and output 'last' has 3 for a label of one"
    )


@pytest.mark.parametrize(
    ("metric", "config", "message"),
    [
        (
            "SparseTopKCategoricalAccuracy",
            "{k: 3}",
            "k is 3 for SparseTopKCategoricalAccuracy, and output 'last'",
        ),
        (
            "SparseTopKCategoricalAccuracy",
            "{}",
            "k is 5 for SparseTopKCategoricalAccuracy, and output 'last'",
        ),
        ("Precision", "{top_k: 4}", "top_k is 4 for Precision, and output 'last' has 3 values"),
        ("Recall", "{class_id: 3}", "class_id is 3, and output 'last' has classes 0 to 2"),
    ],
)
def test_the_top_k_of_all_classes_are_refused(
    project: Project, metric: str, config: str, message: str
) -> None:
    problem = project.problem(f"gate.accuracy={{metric: {metric}, config: {config}, max_drop: 0.01}}")
    assert problem.message.startswith(message)


def test_a_new_candidate_is_checked_though_all_that_trains_is_cached(project: Project) -> None:
    cached = [node.id for node in project.plan().nodes]
    new = "candidates.new=[{prune: {sparsity: 0.5}}, {convert: {quantization: int8, sparse: true}}]"
    problem = project.problem(new, cached=cached)
    assert problem.key() == "candidates.new[1].convert.sparse"
    assert "last: is a dense layer, which LiteRT does not load sparse-encoded in int8" in problem.message


def test_a_candidate_whose_file_is_there_is_not_checked_again(project: Project) -> None:
    wrong = "candidates.student.0.distill.student=build_nothing"
    student = [node.id for node in project.plan(wrong).nodes if "student" in node.candidates]
    assert project.looked_at(wrong, cached=student) == []


def test_run_refuses_before_it_writes(project: Project) -> None:
    """The command as people type it, with a mistake that only TensorFlow can see."""
    path = project.root / "data/eval.tfrecord.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-7]))
    project.write_model(MODEL.replace(COMPILED, ""))
    before = sorted(project.root.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "run", "pipeline.yaml"],
        cwd=project.root,
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
    assert sorted(project.root.rglob("*")) == before


TWO_OUTPUTS = """\
import tf_keras
from tf_keras import layers


def build_model(hparams):
    x = layers.Input((4,), name="x")
    model = tf_keras.Model(x, [layers.Dense(3)(x), layers.Dense(1)(x)])
    model.compile("sgd", "mse")
    return model
"""


def test_several_outputs(project: Project) -> None:
    project.write_model(TWO_OUTPUTS)
    problem = project.problem("candidates.student=[{convert: {quantization: float16}}]")
    assert "a model with 2 outputs, and 'label' is one label; write label: {" in problem.message


def test_input_of_another_size(project: Project) -> None:
    project.write_model(MODEL.replace("Input((4,)", "Input((5,)"))
    problem = project.problem()
    assert "feature 'x' has 4 values in the first record" in problem.message
    assert "model's input 'x' of shape (5,)" in problem.message


def test_student_of_another_size(project: Project) -> None:
    student = MODEL.partition("def build_model")[2].replace("Dense(3", "Dense(2")
    text = (
        MODEL.partition("def build_student")[0]
        + "def build_student"
        + student.partition("def build_student")[0]
    )
    project.write_model(text)
    problem = project.problem()
    assert problem.key() == "candidates.student[0].distill.student"
    assert "the student gives (None, 2) and the baseline (None, 3)" in problem.message


NOISY = MODEL.replace(
    "def build_model(hparams):",
    "class Noise(tf_keras.layers.Layer):\n"
    "    def call(self, inputs):\n"
    "        import tensorflow as tf\n"
    "        return inputs + tf.random.normal(tf.shape(inputs), seed=1)\n\n\n"
    "def build_model(hparams):",
)


def test_a_model_that_does_not_predict_the_same_again(project: Project) -> None:
    last = 'tf_keras.layers.Dense(3, name="last")'
    project.write_model(NOISY.replace(last, f'Noise(name="noise"), {last}'))
    problem = project.problem()
    assert (problem.key(), problem.line) == ("model.module", 3)
    assert problem.message == (
        "layer 'noise' draws random numbers when it predicts (RandomStandardNormal), so a file would not predict what "
        "the gate measured; remove it, or let it act only in training"
    )


def test_a_student_that_does_not_predict_the_same_again(project: Project) -> None:
    project.write_model(
        NOISY.replace(
            "    return build_model(hparams)",
            '    model = build_model(hparams)\n    noise = Noise(name="noise")(model.output)\n'
            "    return tf_keras.Model(model.input, noise)",
        )
    )
    problem = project.problem()
    assert problem.key() == "candidates.student[0].distill.student"
    assert problem.message.startswith("layer 'noise' draws random numbers")


def test_a_layer_that_cannot_be_quantization_aware(project: Project) -> None:
    project.write_model(
        MODEL.replace("tf_keras.layers.Dense(3", "tf_keras.layers.Rescaling(2.0), tf_keras.layers.Dense(3")
    )
    problem = project.problem(
        "candidates.student=[{qat: {}}, {convert: {quantization: int8}}]",
        "candidates.more=[{prune: {sparsity: 0.5}}, {qat: {}}, {convert: {quantization: int8}}]",
    )
    assert problem.key() == "candidates.student[0].qat"
    assert problem.message == (
        "rescaling: Rescaling has no fake quantization in TFMOT; scale in preprocessing_fn"
    )


def test_slice_by_a_feature_that_is_not_there(project: Project) -> None:
    problem = project.problem("gate.accuracy.slices=[{by: labl, min: 0.1}]")
    assert problem.key() == "gate.accuracy.slices[0].by"
    assert "'labl' is not a feature of the data; did you mean 'label'?" in problem.message


def test_slices_are_of_raw_features_also_where_the_module_preprocesses(project: Project) -> None:
    project.write_model(
        MODEL + "\n\ndef preprocessing_fn(inputs):\n    return {**inputs, 'half': inputs}\n"
    )
    problem = project.problem("gate.accuracy.slices=[{by: half, min: 0.1}]")
    assert problem.key() == "gate.accuracy.slices[0].by"
    assert "'half' is not a feature of the data" in problem.message


def test_runner_that_beam_does_not_have(project: Project) -> None:
    problem = project.problem("run.beam_args=[--runner=Nope]")
    assert problem.key() == "run.beam_args"
    assert "Nope" in problem.message


def test_module_that_exits(project: Project) -> None:
    project.write_model(MODEL + "\nraise SystemExit(0)\n")
    problem = project.problem("candidates.student=[{convert: {quantization: float16}}]")
    assert f"importing {project.module} raised SystemExit: 0" in problem.message


def test_label_is_looked_for_also_when_the_data_were_read_before(project: Project) -> None:
    problem = project.problem("data.label=labels", cached=["ImportExampleGen"])
    assert "'labels' is not a feature of the data" in problem.message


def test_names_of_layers_are_the_same_in_each_build(project: Project) -> None:
    from components.common.models import user_module

    project.write_model(MODEL.replace(', name="last"', ""))
    names = [
        [layer.name for layer in user_module.build(project.module, "build_model", {}).layers]
        for _ in range(3)
    ]
    assert names == [["dense"]] * 3


CONVERTED = "candidates={small: [{convert: {quantization: float16}}]}"


def test_an_imported_model_without_mistakes_has_no_problems(project: Project) -> None:
    import tf_keras

    inputs = tf_keras.layers.Input((4,), name="input_1")
    tf_keras.Model(inputs, tf_keras.layers.Dense(3)(inputs)).save(project.root / "model.h5")

    assert project.looked_at("model={import: model.h5}", CONVERTED) == []
    tuned = "candidates={{a: [{{fine_tune: {{teacher: {}}}}}, {{convert: {{quantization: int8}}}}]}}"
    assert project.looked_at("model={import: model.h5}", tuned.format("self")) == []
    problem = project.problem("model={import: model.h5}", tuned.format("labels"))
    assert problem.key() == "model.import"
    assert "was saved without loss and optimizer, which learning from labels needs" in problem.message


def test_inputs_of_an_imported_model_that_are_no_features(project: Project) -> None:
    import tf_keras

    pair = [tf_keras.layers.Input((4,), name=name) for name in ("left", "right")]
    outputs = tf_keras.layers.Dense(3)(tf_keras.layers.Add()(pair))
    tf_keras.Model(pair, outputs).save(project.root / "model.h5")

    problem = project.problem("model={import: {path: model.h5, inputs: {left: x}}}", CONVERTED)
    assert problem.key() == "model.import"
    assert problem.message == (
        "the model's inputs are ['left', 'right'] and the features of the data ['x']; write which feature feeds "
        "each: inputs: {right: …}"
    )


def test_an_imported_model_that_counts_its_predictions(project: Project) -> None:
    class Counting(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = tf.Variable(0.0)

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")])
        def predict(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x[:, :3] + self.calls.assign_add(1.0)}

    counting = Counting()
    tf.saved_model.save(counting, str(project.root / "model"), {"serving_default": counting.predict})
    project.write_config(model="{import: model}", candidates=CONVERTED.partition("=")[2])
    (problem,) = project.checked()
    assert problem.key() == "model.import.path"
    assert "keeps values from one prediction to the next (AssignAddVariableOp)" in problem.message


def test_an_imported_model_that_tflite_cannot_hold(project: Project) -> None:
    spec = tf.TensorSpec([None, 4], tf.float32, "x")
    function = tf.function(
        lambda x: {"y": tf.raw_ops.Bucketize(input=x, boundaries=[0.5]) + 0}, autograph=False
    )
    untold = tf.function(
        lambda x: {"y": tf.linalg.svd(tf.reshape(x, [-1, 2, 2]), compute_uv=False)}, autograph=False
    )
    for name, made in (("fits", function), ("model", untold)):
        signatures = {"serving_default": made.get_concrete_function(x=spec)}
        tf.saved_model.save(tf.Module(), str(project.root / name), signatures=signatures)

    assert project.looked_at("model={import: fits}", CONVERTED) == []
    problem = project.problem("model={import: model}", CONVERTED)
    assert problem.key() == "model.import"
    assert problem.message.startswith("TFLite cannot hold the imported model: ")
    assert "Svd" in problem.message
