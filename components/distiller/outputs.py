"""The kind of the outputs of teacher and student: probabilities, logits, or plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.data.losses import MULTICLASS, MULTILABEL, REGRESSION, task_of
from components.common.models.output_kind import PROBABILITIES, activation_of
from components.common.training.logits import to_logits
from components.distiller.error import DistillationError
from components.distiller.losses import distillation_loss, mean_squared_error


@dataclass(frozen=True)
class Outputs:
    """How outputs of teacher and student are compared.

    Attributes:
        task: multiclass, multilabel or regression.
        teacher: What the teacher's outputs went through: softmax, sigmoid, or linear for logits. Of no
            account in a regression.
        student: The same of the student's.
    """

    task: str
    teacher: str = "linear"
    student: str = "linear"

    def loss(self, taught: tf.Tensor, outputs: tf.Tensor, temperature: float) -> tf.Tensor:
        """The teacher loss, a scalar.

        Args:
            taught: Outputs of the teacher, (batch, …, units).
            outputs: Outputs of the student, as many.
            temperature: Softens both; a regression has nothing to soften.
        """
        if self.task == REGRESSION:
            return mean_squared_error(taught, tf.cast(outputs, tf.float32))
        return distillation_loss(
            to_logits(taught, self.teacher),
            to_logits(outputs, self.student),
            temperature,
            independent=self.task == MULTILABEL,
        )


def last_activation(model: tf_keras.Model) -> str | None:
    """Name of the activation that a model's output went through; None if its last layer has none.

    Raises:
        DistillationError: If the model has several outputs.
    """
    if len(model.outputs) != 1:
        raise DistillationError(f"{model.name} has {len(model.outputs)} outputs; `distill` takes one")
    return activation_of(model.outputs[0])


def find_outputs(
    teacher: tf_keras.Model, student: tf_keras.Model, loss: Any, task: str = "auto"
) -> Outputs:
    """How to compare the outputs of teacher and student.

    The loss separates regression from classification, and logits from probabilities if the last layer
    does not say what it gives. With a loss of the user's own, the last layer decides: softmax or sigmoid, or
    one unit with neither, which is a regression.

    Args:
        teacher: Has one output.
        student: Has one output, of the same shape.
        loss: What the baseline was compiled with; the student trains on it too.
        task: The option.

    Raises:
        DistillationError: If they cannot be compared, or neither loss nor layers say how.
    """
    named, takes_logits = task_of(loss)
    ends = (last_activation(teacher), last_activation(student))
    if task == "auto":
        task = _task(named, ends, teacher)
    if task == REGRESSION:
        return Outputs(task)
    for model, end in zip((teacher, student), ends, strict=True):
        _refuse_end(model.name, end, task)
    if None not in ends and ends[0] != ends[1]:
        raise DistillationError(
            f"the student ends in {ends[1]} and the baseline in {ends[0]}, and one loss trains both; let the "
            f"student end in {ends[0]}"
        )
    if named in (MULTICLASS, MULTILABEL) and "linear" in ends and not takes_logits:
        raise DistillationError(
            "the loss that build_model compiles with takes probabilities, and the last layer gives logits; "
            "compile with from_logits=True, or let baseline and student end in softmax or sigmoid"
        )
    unsaid = _unsaid(named, takes_logits, ends, task)
    return Outputs(task, ends[0] or unsaid, ends[1] or unsaid)


def _task(named: str | None, ends: tuple[str | None, str | None], teacher: tf_keras.Model) -> str:
    if named == REGRESSION:
        return REGRESSION
    for end in ends:
        if end in PROBABILITIES:
            return PROBABILITIES[end]
    if named:
        return named
    if teacher.output_shape[-1] == 1:
        return REGRESSION
    raise DistillationError(
        f"{teacher.name} is compiled with a custom loss and does not end in softmax or sigmoid, so its outputs may "
        "be logits or plain values; say which with task: multiclass, multilabel or regression"
    )


def _refuse_end(model: str, activation: str | None, task: str) -> None:
    if activation not in (*PROBABILITIES, "linear", None):
        raise DistillationError(
            f"{model} ends in {activation}; `distill` needs softmax, sigmoid or logits to soften, or task: "
            "regression"
        )
    if (activation, task) == ("softmax", MULTILABEL):
        raise DistillationError(f"{model} ends in softmax, which is not multilabel; write task: multiclass")


def _unsaid(named: str | None, takes_logits: bool, ends: tuple[str | None, str | None], task: str) -> str:
    """The activation that outputs of a layer without one went through."""
    if any(ends):
        return str(ends[0] or ends[1])
    if named is None or takes_logits:
        return "linear"
    return "softmax" if task == MULTICLASS else "sigmoid"
