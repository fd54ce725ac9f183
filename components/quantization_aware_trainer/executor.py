"""Quantization-aware training with TFMOT."""

from __future__ import annotations

import tensorflow_model_optimization as tfmot
import tf_keras

from components.common import fine_tuning, layer_weights, model_files, training
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
        raise QuantizationError(
            f"the model cannot be made quantization-aware: {str(error).strip().splitlines()[0]}. Leave "
            "`qat` out of this candidate: post-training int8 needs no such support"
        ) from error


class KeepZeros(tf_keras.callbacks.Callback):
    """Sets weights that were zero when training began to zero again after each batch.

    TFMOT's scheme masks a kernel where it is used, but optimizers move the variable underneath, and it
    is the variable that a later step loads.
    """

    def __init__(self, layers: list[str]):
        super().__init__()
        self._layers = layers
        self._masks: list[tuple] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        for layer in self.model.layers:
            if layer_weights.plain_name(layer.name) in self._layers:
                kernel = layer_weights.kernel_of(layer)
                self._masks.append((kernel, (kernel.numpy() != 0).astype(kernel.dtype.as_numpy_dtype)))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        for kernel, mask in self._masks:
            kernel.assign(kernel * mask)


def train_quantization_aware(job: StepJob) -> Facts:
    """Trains the model of a job on with fake quantization; a pruned one keeps its zeros.

    Raises:
        QuantizationError: Where TFMOT cannot quantize the model.
        LostSparsityError: Where a pruned layer lost zeros.
    """
    model = model_files.load(job.base_model)
    record = StepRecord.read(job.base_model).after("qat", job.options)
    splits = fine_tuning.load_splits(job, model)
    quantized = quantize(model, preserve_sparsity=bool(record.sparsity))
    training.compile_like(quantized, job.reference_model(), job.options["learning_rate"])
    return fine_tuning.fit_and_save(
        job, quantized, splits, record, callbacks=[KeepZeros(list(record.sparsity))]
    )


class Executor(StepExecutor):
    """Runs `train_quantization_aware`."""

    def run(self, job: StepJob) -> Facts:
        """Trains; see `train_quantization_aware`."""
        return train_quantization_aware(job)
