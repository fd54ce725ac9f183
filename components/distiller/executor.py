"""Knowledge distillation."""

from __future__ import annotations

import numpy as np
import tf_keras

from components.common.data.arrays import Arrays
from components.common.models import compilation, model_files, output_kind
from components.common.models.model_files import Facts, StepRecord
from components.common.steps import fine_tuning
from components.common.steps.step_executor import StepExecutor, StepJob
from components.common.training import fitting
from components.distiller.error import DistillationError
from components.distiller.features import find_pairs, variances
from components.distiller.model import Distiller, in_order
from components.distiller.outputs import find_outputs
from components.distiller.params import DistillOptions

# Examples that the variance of the teacher's features is measured on.
_SAMPLE = 1024


def refuse_mismatch(
    teacher: tf_keras.Model,
    student: tf_keras.Model,
    options: DistillOptions,
    compiled: tf_keras.Model | None = None,
) -> None:
    """Refuses a student that its teacher cannot teach, before anything is trained.

    Args:
        teacher: The baseline, trained or as build_model returns it.
        student: As the student's function returns it.
        options: Options of the step.
        compiled: What build_model returns, if `teacher` is not compiled itself.

    Raises:
        DistillationError: If inputs, outputs or the layers to compare do not fit.
    """
    if teacher.output_shape != student.output_shape:
        raise DistillationError(
            f"the student gives {student.output_shape} and the baseline {teacher.output_shape}; let the "
            "student end in a layer of the same size"
        )
    _refuse_other_inputs(teacher, student)
    loss = getattr(teacher if compiled is None else compiled, "loss", None)
    find_outputs(teacher, student, loss, options.task)
    find_pairs(teacher, student, options.features)


def _refuse_other_inputs(teacher: tf_keras.Model, student: tf_keras.Model) -> None:
    single = len(teacher.input_names) == len(student.input_names) == 1
    if not single and sorted(teacher.input_names) != sorted(student.input_names):
        raise DistillationError(
            f"the student's inputs are {student.input_names} and the baseline's {teacher.input_names}; "
            "give them the same names"
        )
    for own, other in zip(teacher.inputs, in_order(student.inputs, student, teacher), strict=True):
        if not own.shape.is_compatible_with(other.shape):
            raise DistillationError(
                f"the student's input {other.name!r} has shape {tuple(other.shape)} and the baseline's "
                f"{tuple(own.shape)}; let it take the same, and reshape inside"
            )


def _refuse_other_features(
    job: StepJob[DistillOptions], teacher: tf_keras.Model, student: tf_keras.Model
) -> None:
    """An only input may have any name, but both models must mean the same feature by it."""
    names, label = list(job.examples.feature_spec()), job.examples.label
    taken = [sorted(model_files.input_specs(model, names, label)) for model in (teacher, student)]
    if taken[0] != taken[1]:
        raise DistillationError(
            f"the student takes the features {taken[1]} and the baseline {taken[0]}; name the student's "
            "input as the baseline's"
        )


def _spread(arrays: Arrays, count: int) -> Arrays:
    """At most a number of examples, at equal distances."""
    return arrays.take(np.unique(np.linspace(0, len(arrays) - 1, count).astype(np.int64)))


def distill(job: StepJob[DistillOptions]) -> Facts:
    """Trains the student that a job names on the outputs, and inner layers, of its base model.

    Raises:
        UserModuleError: If the student's function does not give a tf_keras model.
        DistillationError: If teacher and student cannot be compared.
    """
    options = job.options
    teacher = job.load_base_model()
    student = job.definition.build(options.student, compiled=False)
    reference = job.reference_model()
    refuse_mismatch(teacher, student, options, reference)
    _refuse_other_features(job, teacher, student)
    train, evaluation = fine_tuning.load_splits(job, student)
    splits = (
        fitting.as_losses_take(reference, train, "train"),
        fitting.as_losses_take(reference, evaluation, "eval"),
    )
    pairs = find_pairs(teacher, student, options.features)
    sample = list(_spread(splits[0], _SAMPLE).features.values())
    distiller = Distiller(
        student,
        teacher,
        find_outputs(teacher, student, reference.loss, options.task),
        options.temperature,
        options.alpha,
        pairs,
        variances(teacher, pairs, in_order(sample, student, teacher)) if pairs else (),
        options.feature_weight,
    )
    distiller.build({n: t.shape for n, t in zip(student.input_names, student.inputs, strict=True)})
    compilation.compile_like(distiller, reference, options.learning_rate)
    # The student is another model: what the teacher kept, it need not.
    taught = StepRecord(
        steps=StepRecord.read(job.base_model).steps, logits=output_kind.logits(student, reference)
    )
    record = taught.after(job.options)
    return fine_tuning.fit_and_save(job, distiller, splits, record, finish=lambda trained: trained.student)


class Executor(StepExecutor[DistillOptions]):
    """Runs `distill`."""

    OPTIONS = DistillOptions

    def run(self, job: StepJob[DistillOptions]) -> Facts:
        """Distills; see `distill`."""
        return distill(job)
