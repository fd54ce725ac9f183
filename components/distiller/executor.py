"""Knowledge distillation."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from components.common import fine_tuning, training, user_module
from components.common.model_files import Facts, StepRecord
from components.common.step_executor import StepExecutor, StepJob


class DistillationError(Exception):
    """Teacher and student do not go together; the message says why."""


def to_logits(outputs: tf.Tensor, activation: str) -> tf.Tensor:
    """Logits of a classifier's outputs.

    Args:
        outputs: (batch, classes).
        activation: Of the last layer. The logarithm of probabilities differs from the logits by a
            constant for each example, which softmax does not see.
    """
    if activation == "softmax":
        return tf.math.log(tf.clip_by_value(outputs, 1e-7, 1.0))
    if activation == "sigmoid":
        outputs = tf.clip_by_value(outputs, 1e-7, 1.0 - 1e-7)
        return tf.math.log(outputs) - tf.math.log1p(-outputs)
    return outputs


def distillation_loss(
    teacher_logits: tf.Tensor, student_logits: tf.Tensor, temperature: float, independent: bool = False
) -> tf.Tensor:
    """Cross-entropy of the student's softened outputs with the teacher's, times temperature squared.

    The factor keeps gradients at the size of the label loss's, as in section 2 of Hinton et al. (2015).

    Args:
        teacher_logits: (batch, classes); with one class, sigmoid outputs are compared.
        student_logits: Like `teacher_logits`.
        temperature: Divides both.
        independent: Whether classes do not exclude each other, so that each is a sigmoid of its own.

    Returns:
        A scalar, the mean over the batch.
    """
    teacher, student = teacher_logits / temperature, student_logits / temperature
    if independent or teacher.shape[-1] == 1:
        loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.nn.sigmoid(teacher), student)
    else:
        loss = tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(teacher), student)
    return tf.reduce_mean(loss) * temperature**2


def last_activation(model: tf_keras.Model) -> str:
    """Name of the activation that a model's output went through: softmax, sigmoid or linear.

    Raises:
        DistillationError: Where it is another, or the model has several outputs.
    """
    if len(model.outputs) != 1:
        raise DistillationError(f"{model.name} has {len(model.outputs)} outputs; `distill` takes one")
    layer = model.outputs[0].node.layer
    name = {"Softmax": "softmax", "Activation": None}.get(type(layer).__name__)
    if name is None:
        name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if name not in ("softmax", "sigmoid", "linear"):
        raise DistillationError(
            f"{model.name} ends in {name}; `distill` needs softmax, sigmoid or logits to soften"
        )
    return name


class Distiller(tf_keras.Model):
    """Trains a student on labels and on a frozen teacher's outputs."""

    def __init__(self, student: tf_keras.Model, teacher: tf_keras.Model, temperature: float, alpha: float):
        super().__init__(name="distiller")
        self.student = student
        self.teacher = teacher
        self.teacher.trainable = False
        self._temperature = temperature
        self._alpha = alpha
        self._activations = (last_activation(teacher), last_activation(student))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's outputs."""
        return self.student(inputs, training=training)

    def _for_teacher(self, inputs: Any) -> Any:
        """The student's inputs in the teacher's order."""
        if len(self.teacher.input_names) == 1:
            return inputs
        by_name = dict(zip(self.student.input_names, tf.nest.flatten(inputs), strict=True))
        return [by_name[name] for name in self.teacher.input_names]

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of gradient descent on the weighted sum of both losses."""
        inputs, labels, weights = tf_keras.utils.unpack_x_y_sample_weight(data)
        taught = self.teacher(self._for_teacher(inputs), training=False)
        with tf.GradientTape() as tape:
            outputs = self.student(inputs, training=True)
            label_loss = self.compute_loss(inputs, labels, outputs, weights)
            teacher_loss = distillation_loss(
                to_logits(taught, self._activations[0]),
                to_logits(outputs, self._activations[1]),
                self._temperature,
                independent="sigmoid" in self._activations,
            )
            loss = self._alpha * label_loss + (1 - self._alpha) * teacher_loss
        self.optimizer.minimize(loss, self.student.trainable_variables, tape=tape)
        metrics = self.compute_metrics(inputs, labels, outputs, weights)
        return {**metrics, "loss": loss, "teacher_loss": teacher_loss}


def refuse_mismatch(teacher: tf_keras.Model, student: tf_keras.Model) -> None:
    """Raises a DistillationError where a student's inputs or outputs do not fit its teacher's."""
    if teacher.output_shape != student.output_shape:
        raise DistillationError(
            f"the student gives {student.output_shape} and the baseline {teacher.output_shape}; let the "
            "student end in a layer of the same size"
        )
    single = len(teacher.input_names) == len(student.input_names) == 1
    if not single and sorted(teacher.input_names) != sorted(student.input_names):
        raise DistillationError(
            f"the student's inputs are {student.input_names} and the baseline's {teacher.input_names}; "
            "give them the same names"
        )
    for model in (teacher, student):
        last_activation(model)


def distill(job: StepJob) -> Facts:
    """Trains the student that a job names on the outputs of its base model.

    Raises:
        UserModuleError: Where the student's function does not give a tf_keras model.
        DistillationError: Where the outputs of teacher and student cannot be compared.
    """
    options = job.options
    teacher = job.load_base_model()
    student = user_module.build(job.model_module, options["student"], job.hparams, compiled=False)
    refuse_mismatch(teacher, student)
    splits = fine_tuning.load_splits(job, student)
    distiller = Distiller(student, teacher, options["temperature"], options["alpha"])
    distiller.build({n: t.shape for n, t in zip(student.input_names, student.inputs, strict=True)})
    training.compile_like(distiller, job.reference_model(), options["learning_rate"])
    record = StepRecord().after("distill", options)
    return fine_tuning.fit_and_save(job, distiller, splits, record, finish=lambda trained: trained.student)


class Executor(StepExecutor):
    """Runs `distill`."""

    def run(self, job: StepJob) -> Facts:
        """Distills; see `distill`."""
        return distill(job)
