"""The `distill` step as a whole: what it writes, what it refuses, and what can be done next."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.layer_weights import kernel_of
from components.common.models.model_definition import ModelDefinition
from components.common.models.user_module import build
from components.common.tflite import litert
from components.distiller.executor import DistillationError, distill, refuse_mismatch
from components.distiller.params import DistillOptions
from tests.components.conftest import MakeModule, Step, make_job, run_step
from tests.components.distiller.expected import (
    binary_cross_entropy,
    cross_entropy,
    logit,
    unexplained,
    variance,
)
from tests.conftest import MNIST_HPARAMS, MNIST_MODULE, Digits, Trained, to_example, write_examples

FEATURES = {"conv1_relu": "conv1_relu", "conv2_relu": "conv2_relu"}
# Examples are few: with a learning rate like this, training does not move the weights.
STILL = 1e-12


def digest(folder: str) -> dict[Path, str]:
    files = [p for p in Path(folder).rglob("*") if p.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def images_of(digits: Digits) -> np.ndarray:
    return digits.images.reshape(-1, 28, 28, 1).astype(np.float32)


@pytest.fixture(scope="module")
def distilled(trained: Trained, mnist_examples: Any, tmp_path_factory: pytest.TempPathFactory) -> Step:
    """A student that learned from outputs and inner layers."""
    before = digest(trained.uri)
    output = tmp_path_factory.mktemp("distilled")
    options = DistillOptions(epochs=1, batch_size=100, learning_rate=0.003, features=FEATURES)
    facts = run_step(distill, make_job(trained.uri, output, options, mnist_examples))
    assert digest(trained.uri) == before
    return Step(str(output), facts)


def test_the_student_is_the_plain_student(distilled: Step) -> None:
    student = model_files.load(distilled.uri)
    plain = build(MNIST_MODULE, "build_student", MNIST_HPARAMS)

    assert student.name == "digits_student"
    assert [layer.name for layer in student.layers] == [layer.name for layer in plain.layers]
    assert [layer.get_config() for layer in student.layers] == [
        layer.get_config() for layer in plain.layers
    ]
    assert distilled.facts["parameters"] == student.count_params() == plain.count_params()


def test_facts_and_files_agree_on_the_student(distilled: Step, mnist_arrays: dict[str, Digits]) -> None:
    facts, images = distilled.facts, images_of(mnist_arrays["eval"])
    outputs = model_files.load(distilled.uri)(images, training=False).numpy()
    labels = mnist_arrays["eval"].labels
    signature = tf.saved_model.load(model_files.serving_dir(distilled.uri)).signatures["serving_default"]

    assert np.mean(np.argmax(outputs, axis=1) == labels) == pytest.approx(
        facts["final_val_accuracy"], abs=1e-6
    )
    label_loss = -np.log(outputs[np.arange(len(labels)), labels]).mean()
    assert facts["final_val_loss"] == pytest.approx(label_loss, rel=1e-4)
    np.testing.assert_allclose(signature(image=tf.constant(images))["probabilities"], outputs, atol=1e-6)
    weighed = 0.1 * facts["final_label_loss"] + 0.9 * facts["final_teacher_loss"]
    assert facts["final_loss"] == pytest.approx(weighed + facts["final_feature_loss"], rel=1e-5)
    assert facts["final_feature_loss"] > 0
    (epoch,) = json.loads((Path(distilled.uri) / "history.json").read_text(encoding="utf-8"))["epochs"]
    for part in ("loss", "label_loss", "teacher_loss", "feature_loss", "val_loss"):
        assert epoch[part] == facts[f"final_{part}"]
    assert epoch["learning_rate"] == pytest.approx(0.003)
    assert facts["technique"] == "distill"
    record = model_files.StepRecord.read(distilled.uri)
    assert record.techniques() == ["distill"] and record.steps[0]["features"] == FEATURES


def test_the_same_seed_gives_the_same_student_to_the_last_bit(
    distilled: Step, trained: Trained, mnist_examples: Any, tmp_path: Path
) -> None:
    options = DistillOptions(epochs=1, batch_size=100, learning_rate=0.003, features=FEATURES)
    facts = run_step(distill, make_job(trained.uri, tmp_path, options, mnist_examples))

    assert facts == distilled.facts
    found = (model_files.load(uri).get_weights() for uri in (distilled.uri, str(tmp_path)))
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_student_can_be_pruned_trained_for_int8_and_converted(
    distilled: Step,
    mnist_examples: Any,
    mnist_arrays: dict[str, Digits],
    converted: Callable[..., Step],
    tmp_path: Path,
) -> None:
    from components.pruner.executor import prune
    from components.pruner.params import PruneOptions
    from components.quantization_aware_trainer.executor import train_quantization_aware
    from components.quantization_aware_trainer.params import QatOptions

    images = images_of(mnist_arrays["eval"])[:20]
    file = model_files.tflite_file(converted(distilled.uri, "float32").uri)
    deployed = litert.LiteRTModel(file)
    found = [deployed.predict({"image": image})["probabilities"].ravel() for image in images]
    np.testing.assert_allclose(found, model_files.load(distilled.uri)(images), atol=1e-5)

    pruned, trained = tmp_path / "pruned", tmp_path / "qat"
    options = PruneOptions(sparsity=0.75, steps=3, batch_size=100)
    run_step(prune, make_job(distilled.uri, pruned, options, mnist_examples))
    for name in ("conv2", "probabilities"):
        kernel = kernel_of(model_files.load(str(pruned)).get_layer(name)).numpy()
        assert np.mean(kernel == 0) == pytest.approx(0.75, abs=0.01)
    run_step(train_quantization_aware, make_job(pruned, trained, QatOptions(steps=3), mnist_examples))
    step = converted(str(trained), "int8")
    assert model_files.StepRecord.read(step.uri).techniques() == ["distill", "prune", "qat", "convert"]


STUDENTS = """
import tf_keras
layers = tf_keras.layers
def more_classes(hparams):
    x = layers.Input((28, 28, 1), name="image")
    return tf_keras.Model(x, layers.Dense(11, activation="softmax")(layers.Flatten()(x)))
def two_inputs(hparams):
    x, time = layers.Input((28, 28, 1), name="image"), layers.Input((10,), name="time")
    return tf_keras.Model([x, time], layers.Dense(10, activation="softmax")(layers.Flatten()(x)) + time)
def ends_in_relu(hparams):
    x = layers.Input((28, 28, 1), name="image")
    return tf_keras.Model(x, layers.Dense(10, activation="relu")(layers.Flatten()(x)), name="rectified")
def gives_logits(hparams):
    x = layers.Input((28, 28, 1), name="image")
    return tf_keras.Model(x, layers.Dense(10)(layers.Flatten()(x)))
def flat(hparams):
    x = layers.Input((784,), name="image")
    return tf_keras.Model(x, layers.Dense(10, activation="softmax")(x))
def build_student(hparams):
    x = layers.Input((28, 28, 1), name="image")
    y = layers.Conv2D(2, 3, strides=2, padding="same", name="convolution")(x)
    return tf_keras.Model(x, layers.Dense(10, activation="softmax")(layers.Flatten()(y)))
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"student": "more_classes"},
            r"student gives \(None, 11\) and the baseline \(None, 10\); let the student end",
        ),
        (
            {"student": "two_inputs"},
            r"inputs are \['image', 'time'\] and the baseline's \['image'\]; give them",
        ),
        ({"student": "ends_in_relu"}, "rectified ends in relu"),
        (
            {"student": "gives_logits"},
            "ends in linear and the baseline in softmax.*let the student end in s",
        ),
        (
            {"student": "flat"},
            r"input 'image' has shape \(None, 784\) and the baseline's \(None, 28, 28, 1\)",
        ),
        ({"features": {"conv3": "convolution"}}, "baseline has no layer 'conv3'; did you mean 'conv"),
        (
            {"features": {"conv1": "convolutoin"}},
            "student has no layer 'convolutoin'; did you mean 'convolu",
        ),
        (
            {"features": {"conv2": "convolution"}},
            r"gives \(None, 7, 7, 8\) and 'convolution' of the student \(None, 14, 14, 2\); name layers of eq",
        ),
    ],
)
def test_a_student_that_does_not_fit_is_refused(
    trained: Trained,
    mnist_examples: Any,
    make_module: MakeModule,
    tmp_path: Path,
    options: dict[str, Any],
    message: str,
) -> None:
    output = tmp_path / "out"
    source = STUDENTS + "from configs.mnist.model import build_model\n"
    given = DistillOptions(**options)
    definition = ModelDefinition(make_module(source), MNIST_HPARAMS)
    job = make_job(trained.uri, output, given, mnist_examples, definition=definition)

    with pytest.raises(DistillationError, match=message):
        run_step(distill, job)
    assert list(output.iterdir()) == []
    # What is known from building alone, without a trained model.
    baseline = job.definition.build()
    student = job.definition.build(given.student, compiled=False)
    with pytest.raises(DistillationError, match=message):
        refuse_mismatch(baseline, student, given)


TWO_INPUTS = """
import tf_keras
layers = tf_keras.layers
def _model(names, units):
    inputs = [layers.Input((2,), name=name) for name in names]
    x = layers.Concatenate()([2 * inputs[names.index("first")], inputs[names.index("second")]])
    x = layers.Dense(units, name="hidden")(x)
    model = tf_keras.Model(inputs, layers.Dense(3, activation="softmax", name="y")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
def build_model(hparams):
    return _model(["first", "second"], 5)
def build_student(hparams):
    return _model(["second", "first"], 5)
"""


def write_rows(folder: Path, rows: list[dict[str, Any]], label: str = "label") -> Examples:
    """Rows as the train and the eval split; the schema follows from the first."""
    features = "".join(
        f'feature {{ name: "{name}" type: {"INT" if np.asarray(value).dtype.kind == "i" else "FLOAT"} '
        f"presence {{ min_fraction: 1 }} shape {{ dim {{ size: {np.size(value)} }} }} }}"
        for name, value in rows[0].items()
    )
    records = [to_example(row) for row in rows]
    folder = write_examples(folder, features, train=records, eval=records)
    return Examples(str(folder / "examples"), str(folder / "schema"), None, label)


def distill_rows(
    rows: list[dict[str, Any]], source: str, make_module: MakeModule, folder: Path, **options: Any
) -> tuple[Any, Any, dict[str, Any]]:
    """Distills an untrained baseline: it, the student, and the facts."""
    given = DistillOptions(epochs=1, batch_size=len(rows), temperature=2.0, **options)
    job = make_job(
        folder / "base",
        folder / "out",
        given,
        write_rows(folder, rows),
        definition=ModelDefinition(make_module(source)),
    )
    base = job.reference_model()
    model_files.save(base, job.base_model, list(base.input_names), model_files.StepRecord())
    facts = run_step(distill, job)
    return base, model_files.load(job.output), facts


@pytest.mark.parametrize("features", [{}, {"hidden": "hidden"}], ids=["outputs", "features"])
def test_teacher_and_student_see_their_own_inputs_in_any_order(
    make_module: MakeModule, tmp_path: Path, features: dict[str, str], rng: np.random.Generator
) -> None:
    rows = [{"first": rng.normal(size=2), "second": rng.normal(size=2), "label": i % 3} for i in range(12)]
    base, student, facts = distill_rows(
        rows, TWO_INPUTS, make_module, tmp_path, learning_rate=STILL, features=features
    )
    inputs = {name: tf.constant([row[name] for row in rows], tf.float32) for name in ("first", "second")}
    expected = cross_entropy(np.log(base(inputs).numpy()), np.log(student(inputs).numpy()), 2.0)

    assert facts["final_teacher_loss"] == pytest.approx(expected, rel=1e-4)
    if features:
        joined = np.concatenate([2 * inputs["first"], inputs["second"]], axis=1)
        hints, learned = (
            joined @ kernel_of(model.get_layer("hidden")).numpy() for model in (base, student)
        )
        loss = unexplained(hints, learned, variance(hints))
        assert facts["final_feature_loss"] == pytest.approx(loss, rel=1e-4)


def test_single_inputs_must_mean_the_same_feature(
    make_module: MakeModule, tmp_path: Path, rng: np.random.Generator
) -> None:
    source = """
        import tf_keras
        layers = tf_keras.layers
        def build_model(hparams, name="first"):
            x = layers.Input((2,), name=name)
            model = tf_keras.Model(x, layers.Dense(3, activation="softmax")(x))
            model.compile("sgd", "sparse_categorical_crossentropy")
            return model
        def build_student(hparams):
            return build_model(hparams, "second")
    """
    rows = [{"first": rng.normal(size=2), "second": rng.normal(size=2), "label": i % 3} for i in range(6)]
    message = r"student takes the features \['second'\] and the baseline \['first'\]; name the student's"
    with pytest.raises(DistillationError, match=message):
        distill_rows(rows, source, make_module, tmp_path)


HEADS = """
import tf_keras
layers = tf_keras.layers
def build_model(hparams):
    x = layers.Input((4,), name="x")
    model = tf_keras.Model(x, {head}(layers.Dense(6, activation="relu", name="hidden")(x)))
    model.compile(tf_keras.optimizers.SGD(), {loss})
    return model
def build_student(hparams):
    x = layers.Input((4,), name="x")
    return tf_keras.Model(x, {head}(layers.Dense(2, name="hidden")(x)))
"""


def squared(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    return float(((teacher - student) ** 2).mean())


@pytest.mark.parametrize(
    ("head", "loss", "labels", "expected"),
    [
        pytest.param(
            "layers.Dense(1, activation='sigmoid')",
            "'binary_crossentropy'",
            lambda i: i % 2,
            lambda t, s, temperature: binary_cross_entropy(logit(t), logit(s), temperature),
            id="binary",
        ),
        pytest.param(
            "layers.Dense(3, activation='sigmoid')",
            "'binary_crossentropy'",
            lambda i: np.eye(3)[i % 3],
            lambda t, s, temperature: binary_cross_entropy(logit(t), logit(s), temperature),
            id="multilabel",
        ),
        pytest.param(
            "layers.Dense(3)",
            "tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)",
            lambda i: i % 3,
            cross_entropy,
            id="logits",
        ),
        pytest.param("layers.Dense(1)", "'mse'", lambda i: 0.1 * i, squared, id="regression"),
        pytest.param(
            "layers.Dense(2)",
            "tf_keras.losses.Huber()",
            lambda i: np.array([0.1 * i, -0.3]),
            squared,
            id="two-values",
        ),
    ],
)
def test_every_kind_of_output_is_taught(
    make_module: MakeModule,
    tmp_path: Path,
    head: str,
    loss: str,
    labels: Callable[[int], Any],
    expected: Callable[[np.ndarray, np.ndarray, float], float],
    rng: np.random.Generator,
) -> None:
    rows = [{"x": rng.normal(size=4), "label": labels(i)} for i in range(12)]
    source = HEADS.format(head=head, loss=loss)
    base, student, facts = distill_rows(rows, source, make_module, tmp_path, learning_rate=STILL)
    x = np.array([row["x"] for row in rows], np.float32)
    found = expected(base(x).numpy().astype(np.float64), student(x).numpy().astype(np.float64), 2.0)

    assert facts["final_teacher_loss"] == pytest.approx(found, rel=1e-3)


def test_custom_layers_with_control_flow_work_in_teacher_and_student(
    make_module: MakeModule, tmp_path: Path, rng: np.random.Generator
) -> None:
    source = """
        import tensorflow as tf
        import tf_keras
        layers = tf_keras.layers
        @tf_keras.utils.register_keras_serializable()
        class TwiceIfSmall(layers.Layer):
            def call(self, x):
                if tf.reduce_max(x) > -1000.0:  # what only AutoGraph can trace
                    x = 2 * x
                return x
        def build_model(hparams):
            x = layers.Input((4,), name="x")
            y = layers.Dense(3, activation="softmax")(TwiceIfSmall(name="doubled")(x))
            model = tf_keras.Model(x, y)
            model.compile("sgd", "sparse_categorical_crossentropy")
            return model
        build_student = build_model
    """
    rows = [{"x": rng.normal(size=4), "label": i % 3} for i in range(6)]
    _, _, facts = distill_rows(rows, source, make_module, tmp_path, features={"doubled": "doubled"})

    assert facts["final_feature_loss"] == pytest.approx(0.0, abs=1e-9)
