"""Knowledge distillation: the loss in numbers, and what student and teacher are at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common import model_files
from components.common.examples import Examples
from components.distiller.executor import (
    DistillationError,
    Distiller,
    distill,
    distillation_loss,
    last_activation,
    to_logits,
)
from components.distiller.params import DistillOptions
from tests.components.conftest import MakeModule, make_job, run_step
from tests.conftest import Digits, Trained, to_example, write_examples

layers = tf_keras.layers
TEACHER = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
STUDENT = np.array([[0.3, 0.1, -0.4], [1.0, 0.0, -1.0]])


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def cross_entropy(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    softened = softmax(teacher / temperature) * np.log(softmax(student / temperature))
    return float(-softened.sum(axis=-1).mean() * temperature**2)


def binary_cross_entropy(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    p, q = sigmoid(teacher / temperature), sigmoid(student / temperature)
    return float(-(p * np.log(q) + (1 - p) * np.log(1 - q)).mean() * temperature**2)


def loss_of(teacher: np.ndarray, student: np.ndarray, temperature: float, **given: Any) -> float:
    tensors = (tf.constant(teacher, tf.float32), tf.constant(student, tf.float32))
    return float(distillation_loss(*tensors, temperature, **given))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0, 20.0])
def test_the_loss_is_the_softened_cross_entropy_times_temperature_squared(temperature: float) -> None:
    expected = cross_entropy(TEACHER, STUDENT, temperature)

    assert loss_of(TEACHER, STUDENT, temperature) == pytest.approx(expected, rel=1e-5)


def test_the_factor_is_squared() -> None:
    # Logits of twice the size at twice the temperature are softened alike; only the factor differs.
    doubled = loss_of(2 * TEACHER, 2 * STUDENT, 6.0)

    assert doubled == pytest.approx(4 * loss_of(TEACHER, STUDENT, 3.0), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_one_output_is_compared_as_a_sigmoid(temperature: float) -> None:
    teacher, student = TEACHER[:, :1], STUDENT[:, :1]
    expected = binary_cross_entropy(teacher, student, temperature)

    assert loss_of(teacher, student, temperature) == pytest.approx(expected, rel=1e-5)


def test_labels_that_do_not_exclude_each_other_are_compared_one_by_one() -> None:
    expected = binary_cross_entropy(TEACHER, STUDENT, 2.0)

    assert loss_of(TEACHER, STUDENT, 2.0, independent=True) == pytest.approx(expected, rel=1e-5)


def test_a_student_that_agrees_has_the_least_loss() -> None:
    least = loss_of(TEACHER, TEACHER, 2.0)

    assert least < loss_of(TEACHER, TEACHER + np.array([0.1, 0, 0]), 2.0)
    assert least < loss_of(TEACHER, STUDENT, 2.0)
    # Softmax does not see a constant.
    assert least == pytest.approx(loss_of(TEACHER, TEACHER + 5.0, 2.0), rel=1e-5)


def test_probabilities_give_logits_back_but_for_a_constant() -> None:
    logits = to_logits(tf.constant(softmax(TEACHER), tf.float32), "softmax").numpy()
    shift = logits - TEACHER

    np.testing.assert_allclose(shift, np.repeat(shift[:, :1], 3, axis=1), atol=1e-5)
    for temperature in (1.0, 4.0):
        np.testing.assert_allclose(softmax(logits / temperature), softmax(TEACHER / temperature), atol=1e-6)


def test_sigmoid_outputs_give_logits_back() -> None:
    logits = to_logits(tf.constant(sigmoid(TEACHER), tf.float32), "sigmoid").numpy()

    np.testing.assert_allclose(logits, TEACHER, atol=1e-4)


def test_logits_are_taken_as_they_are_and_certainty_is_finite() -> None:
    np.testing.assert_array_equal(to_logits(tf.constant(TEACHER), "linear"), TEACHER)
    for activation in ("softmax", "sigmoid"):
        assert np.all(np.isfinite(to_logits(tf.constant([[0.0, 1.0]]), activation)))


def classifier(*head: Any, name: str = "m") -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input((4,), name="x"), *head], name=name)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(lambda: [layers.Dense(3, activation="softmax")], "softmax", id="dense-softmax"),
        pytest.param(lambda: [layers.Dense(3), layers.Softmax()], "softmax", id="softmax-layer"),
        pytest.param(lambda: [layers.Dense(3), layers.Activation("softmax")], "softmax", id="activation"),
        pytest.param(lambda: [layers.Dense(1, activation="sigmoid")], "sigmoid", id="dense-sigmoid"),
        pytest.param(lambda: [layers.Dense(3)], "linear", id="logits"),
        pytest.param(lambda: [layers.Dense(6), layers.Reshape((6,))], "linear", id="no-activation"),
    ],
)
def test_the_last_activation_is_found(head: Callable[[], list], expected: str) -> None:
    assert last_activation(classifier(*head())) == expected


def test_other_activations_and_several_outputs_are_refused() -> None:
    with pytest.raises(DistillationError, match="net ends in relu; `distill` needs softmax, sigmoid"):
        last_activation(classifier(layers.Dense(3, activation="relu"), name="net"))
    x = layers.Input((2,))
    with pytest.raises(DistillationError, match="two has 2 outputs"):
        last_activation(tf_keras.Model(x, [layers.Dense(1)(x), layers.Dense(1)(x)], name="two"))


def pair() -> tuple[tf_keras.Model, tf_keras.Model]:
    """A teacher and a student without BatchNormalization, so that training mode changes nothing."""
    tf_keras.utils.set_random_seed(4)
    hidden = layers.Dense(8, activation="relu")
    teacher = classifier(hidden, layers.Dense(3, activation="softmax"), name="teacher")
    return teacher, classifier(layers.Dense(3, activation="softmax"), name="student")


X = np.random.default_rng(2).normal(size=(16, 4)).astype(np.float32)
LABELS = np.arange(16) % 3


def train_once(alpha: float) -> tuple[Distiller, dict[str, float], np.ndarray, np.ndarray]:
    """One step with plain gradient descent: the distiller, its figures, both models' outputs before."""
    teacher, student = pair()
    before = teacher(X).numpy(), student(X).numpy()
    distiller = Distiller(student, teacher, temperature=3.0, alpha=alpha)
    distiller.compile(tf_keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", run_eagerly=True)
    figures = distiller.train_on_batch(X, LABELS, return_dict=True)
    return distiller, figures, *before


def test_alpha_1_is_training_on_the_labels_alone() -> None:
    distiller, figures, _, _ = train_once(alpha=1.0)
    _, alone = pair()
    alone.compile(tf_keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", run_eagerly=True)
    loss = alone.train_on_batch(X, LABELS)

    assert figures["loss"] == pytest.approx(loss, rel=1e-6)
    for a, b in zip(distiller.student.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_alpha_weighs_label_loss_against_teacher_loss(alpha: float) -> None:
    distiller, figures, taught, outputs = train_once(alpha)
    label_loss = -np.log(outputs[np.arange(16), LABELS]).mean()
    teacher_loss = cross_entropy(np.log(taught), np.log(outputs), 3.0)

    assert figures["teacher_loss"] == pytest.approx(teacher_loss, rel=1e-4)
    assert figures["loss"] == pytest.approx(alpha * label_loss + (1 - alpha) * teacher_loss, rel=1e-4)
    # The gradient of both losses in the logits is known: see section 2 of Hinton et al.
    onehot = np.eye(3)[LABELS]
    by_teacher = 3.0 * (softmax(np.log(outputs) / 3) - softmax(np.log(taught) / 3))
    gradient = (alpha * (outputs - onehot) + (1 - alpha) * by_teacher) / 16
    _, start = pair()
    expected = start.get_weights()[0] - 0.5 * X.T @ gradient
    np.testing.assert_allclose(distiller.student.get_weights()[0], expected, atol=1e-5)


def test_sigmoid_outputs_are_taught_one_by_one() -> None:
    tf_keras.utils.set_random_seed(4)
    teacher, student = (classifier(layers.Dense(3, activation="sigmoid")) for _ in range(2))
    distiller = Distiller(student, teacher, temperature=3.0, alpha=0.0)
    distiller.compile("sgd", "binary_crossentropy", run_eagerly=True)
    logits = [np.log(p / (1 - p)) for p in (teacher(X).numpy(), student(X).numpy())]
    figures = distiller.train_on_batch(X, np.eye(3)[LABELS], return_dict=True)

    assert figures["teacher_loss"] == pytest.approx(binary_cross_entropy(*logits, 3.0), rel=1e-4)


def test_the_teacher_does_not_change() -> None:
    distiller, _, _, _ = train_once(alpha=0.5)
    teacher, student = pair()

    for a, b in zip(distiller.teacher.get_weights(), teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(distiller.student.get_weights()[0] != student.get_weights()[0])


def test_a_student_of_mnist(
    trained: Trained, mnist_examples: Any, tmp_path: Path, mnist_arrays: dict[str, Digits]
) -> None:
    def digest() -> dict[Path, str]:
        files = [p for p in Path(trained.uri).rglob("*") if p.is_file()]
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = digest()
    options = DistillOptions(epochs=1, batch_size=100, learning_rate=0.003)
    facts = run_step(distill, make_job(trained.uri, tmp_path, options, mnist_examples))

    assert digest() == before
    student = model_files.load(str(tmp_path))
    assert student.name == "digits_student"
    assert facts["parameters"] == student.count_params()
    assert facts["technique"] == "distill"
    assert facts["final_teacher_loss"] > 0
    images = mnist_arrays["eval"].images.reshape(-1, 28, 28, 1).astype(np.float32)
    outputs = student(images, training=False).numpy()
    accuracy = np.mean(np.argmax(outputs, axis=1) == mnist_arrays["eval"].labels)
    assert accuracy == pytest.approx(facts["final_val_accuracy"], abs=1e-6)
    signature = tf.saved_model.load(model_files.serving_dir(str(tmp_path))).signatures["serving_default"]
    served = signature(image=tf.constant(images))["probabilities"]
    np.testing.assert_allclose(served, outputs, atol=1e-6)
    record = model_files.StepRecord.read(str(tmp_path))
    assert record.techniques() == ["distill"] and record.steps[0]["temperature"] == 4.0


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
"""


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ("more_classes", r"student gives \(None, 11\) and the baseline \(None, 10\); let the student end"),
        ("two_inputs", r"inputs are \['image', 'time'\] and the baseline's \['image'\]; give them"),
        ("ends_in_relu", "rectified ends in relu"),
    ],
)
def test_a_student_that_does_not_fit_is_refused(
    trained: Trained,
    mnist_examples: Any,
    make_module: MakeModule,
    tmp_path: Path,
    student: str,
    message: str,
) -> None:
    output = tmp_path / "out"
    options = DistillOptions(student=student)
    job = make_job(trained.uri, output, options, mnist_examples, model_module=make_module(STUDENTS))

    with pytest.raises(DistillationError, match=message):
        run_step(distill, job)
    assert list(output.iterdir()) == []


TWO_INPUTS = """
import tf_keras
layers = tf_keras.layers
def _model(names):
    inputs = [layers.Input((2,), name=name) for name in names]
    x = layers.Concatenate()([2 * inputs[0], inputs[1]])
    model = tf_keras.Model(inputs, layers.Dense(3, activation="softmax", name="y")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
def build_model(hparams):
    return _model(["first", "second"])
def build_student(hparams):
    return _model(["second", "first"])
"""


def test_teacher_and_student_see_their_own_inputs_in_whatever_order(
    make_module: MakeModule, tmp_path: Path
) -> None:
    schema = "".join(
        f'feature {{ name: "{name}" type: {kind} presence {{ min_fraction: 1 }} '
        f"shape {{ dim {{ size: {size} }} }} }}"
        for name, kind, size in (("first", "FLOAT", 2), ("second", "FLOAT", 2), ("label", "INT", 1))
    )
    rng = np.random.default_rng(0)
    rows = [{"first": rng.normal(size=2), "second": rng.normal(size=2), "label": i % 3} for i in range(12)]
    records = [to_example(row) for row in rows]
    folder = write_examples(tmp_path, schema, train=records, eval=records)
    examples = Examples(str(folder / "examples"), str(folder / "schema"), None, "label")
    options = DistillOptions(epochs=1, batch_size=12, learning_rate=1e-12, temperature=2.0)
    module = make_module(TWO_INPUTS)
    job = make_job(tmp_path / "base", tmp_path / "out", options, examples, model_module=module, hparams={})
    base = job.reference_model()
    model_files.save(base, job.base_model, ["first", "second"], model_files.StepRecord())
    facts = run_step(distill, job)

    inputs = {name: tf.constant([row[name] for row in rows], tf.float32) for name in ("first", "second")}
    taught = base(inputs).numpy()
    outputs = model_files.load(job.output)(inputs).numpy()
    expected = cross_entropy(np.log(taught), np.log(outputs), 2.0)
    assert facts["final_teacher_loss"] == pytest.approx(expected, rel=1e-4)
