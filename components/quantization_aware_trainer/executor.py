"""Quantization-aware training with TFMOT."""

from __future__ import annotations

import tensorflow_model_optimization as tfmot
import tf_keras

from components.common import fine_tuning, training
from components.common.model_files import Facts, StepRecord
from components.common.step_executor import StepExecutor, StepJob
from components.common.stock_layers import without_autograph


class QuantizationError(Exception):
    """TFMOT cannot make a model quantization-aware; the message has its reason."""


def quantize(model: tf_keras.Model, preserve_sparsity: bool) -> tf_keras.Model:
    """A quantization-aware copy of a model.

    Args:
        model: Freshly loaded; not used further, as the copy shares layers with it.
        preserve_sparsity: Whether weights that are zero stay so (PQAT).

    Raises:
        QuantizationError: Where TFMOT has no way to quantize a layer.
    """
    keras = tfmot.quantization.keras
    scheme = (
        tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
        if preserve_sparsity
        else keras.default_8bit.Default8BitQuantizeScheme()
    )

    def apply() -> tf_keras.Model:
        annotated = keras.quantize_annotate_model(model)
        with keras.quantize_scope():
            return keras.quantize_apply(annotated, scheme)

    try:
        return without_autograph(apply, model)()
    except (ValueError, RuntimeError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise QuantizationError(
            f"the model cannot be made quantization-aware: {reason}. Leave `qat` out of this candidate: "
            "post-training int8 needs no such support"
        ) from error


def train_quantization_aware(job: StepJob) -> Facts:
    """Trains the model of a job on with fake quantization; a pruned one keeps its zeros.

    Raises:
        QuantizationError: Where TFMOT cannot quantize the model.
        LostSparsityError: Where a pruned layer lost zeros.
    """
    model = job.load_base_model()
    record = StepRecord.read(job.base_model).after("qat", job.options)
    splits = fine_tuning.load_splits(job, model)
    quantized = quantize(model, preserve_sparsity=bool(record.sparsity))
    training.compile_like(quantized, job.reference_model(), job.options["learning_rate"])
    return fine_tuning.fit_and_save(
        job, quantized, splits, record, callbacks=[fine_tuning.KeepZeros(list(record.sparsity))]
    )


class Executor(StepExecutor):
    """Runs `train_quantization_aware`."""

    def run(self, job: StepJob) -> Facts:
        """Trains; see `train_quantization_aware`."""
        return train_quantization_aware(job)
