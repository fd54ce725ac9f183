"""Quantization-aware training with TFMOT."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, ClassVar

import tf_keras

from components.common.base.errors import ParedownError
from components.common.base.layer_names import matches
from components.common.data.arrays import Arrays
from components.common.models import batch_norm
from components.common.models.invariants import one_scale
from components.common.models.layer_selection import LayerSelectionError
from components.common.models.layer_weights import has_kernel
from components.common.models.model_files import Facts, StepRecord
from components.common.models.stock_layers import only_stock_layers, without_autograph
from components.common.steps import fine_tuning
from components.common.steps.step_executor import StepExecutor, StepJob
from components.common.tfmot import normalization
from components.common.tfmot.calibration import calibrate
from components.common.tfmot.in_float import InFloat
from components.common.tfmot.kernel_quantize_config import KernelQuantizeConfig
from components.common.tfmot.library import tfmot
from components.common.tfmot.range_keeper import RangeKeeper
from components.common.training import fitting
from components.quantization_aware_trainer import one_dimensional, separable
from components.quantization_aware_trainer.params import QatOptions
from components.quantization_aware_trainer.support import ACTIVATIONS

_quantization = tfmot.quantization.keras
# Of those that a layer with a kernel may have.
_ACTIVATIONS = ("linear", "relu", "softmax", "sigmoid", "tanh", "swish", "gelu")


class QuantizationError(ParedownError):
    """TFMOT cannot make a model quantization-aware; the message has its reason."""


class _Registry(tfmot.quantization.keras.QuantizeRegistry):
    """TFMOT's 8-bit registry, with one scale for the whole kernel of some layers.

    With a scale for each channel, one value of a clustered kernel would become as many as it has channels.
    """

    def __init__(self, one_scale: Collection[str]):
        scheme = _quantization.default_8bit.Default8BitQuantizeScheme
        self._one_scale = one_scale
        self._per_channel = scheme().get_quantize_registry()
        self._per_tensor = scheme(disable_per_axis=True).get_quantize_registry()

    def supports(self, layer: tf_keras.layers.Layer) -> bool:
        return isinstance(layer, (InFloat, *ACTIVATIONS)) or self._per_channel.supports(layer)

    def get_quantize_config(self, layer: tf_keras.layers.Layer) -> Any:
        # InFloat is asked for what a quantized layer reads: its output. Other weights than kernels the converter
        # quantizes.
        if isinstance(layer, (InFloat, *ACTIVATIONS)):
            return self._per_channel.get_quantize_config(tf_keras.layers.ReLU())
        if layer.name not in self._one_scale:
            return self._per_channel.get_quantize_config(layer)
        if type(layer) is tf_keras.layers.Conv2DTranspose:
            # TFMOT has no config with one scale for it; what it does with a Conv2D fits.
            layer = tf_keras.layers.Conv2D(1, 1)
        return self._per_tensor.get_quantize_config(layer)


def _concatenations(model: tf_keras.Model, layer_quantize_map: Mapping[str, Any]) -> dict[str, Any]:
    """The part of TFMOT's map that is on Concatenate, which its changes of the layout must not find.

    They put its inputs into another order, so that the model computes something else. They also take the fake
    quantization of these tensors away, which others may read: https://github.com/tensorflow/model-optimization/issues/1053.
    """
    return {
        layer.name: layer_quantize_map[layer.name]
        for layer in model.layers
        if isinstance(layer, tf_keras.layers.Concatenate) and layer.name in layer_quantize_map
    }


class _Layout:
    """TFMOT's changes of the layout, after which kernels before a ReLU are quantized nevertheless.

    What a Concatenate reads keeps its fake quantization; see `shared_ranges`.
    """

    _KERNELS: ClassVar = {
        tf_keras.layers.Conv2D: "kernel",
        tf_keras.layers.DepthwiseConv2D: "depthwise_kernel",
        tf_keras.layers.Dense: "kernel",
    }

    def __init__(self, transform: Any, one_scale: Collection[str]):
        self._transform = transform
        self._one_scale = one_scale

    def apply(self, model: tf_keras.Model, layer_quantize_map: dict[str, Any]) -> tuple[Any, Any]:
        hidden = _concatenations(model, layer_quantize_map)
        shown = {name: settings for name, settings in layer_quantize_map.items() if name not in hidden}
        model, layer_quantize_map = self._transform.apply(model, shown)
        layer_quantize_map.update(hidden)
        for layer in model.layers:
            kernel = self._KERNELS.get(type(layer))
            settings = layer_quantize_map.get(layer.name, {})
            if kernel and type(settings.get("quantize_config")).__name__ == "NoOpQuantizeConfig":
                one_scale = layer.name in self._one_scale or isinstance(layer, tf_keras.layers.Dense)
                settings["quantize_config"] = KernelQuantizeConfig(kernel, one_scale)
        return model, layer_quantize_map


class _Scheme(tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme):
    """TFMOT's 8-bit scheme with the registry and the layout above."""

    def __init__(self, one_scale: Collection[str]):
        super().__init__()
        self._one_scale = one_scale

    def get_layout_transformer(self) -> _Layout:
        return _Layout(super().get_layout_transformer(), self._one_scale)

    def get_quantize_registry(self) -> _Registry:
        return _Registry(self._one_scale)


def prepare(
    model: tf_keras.Model,
    exclude: Sequence[str] = (),
    custom_objects: Mapping[str, Any] | None = None,
) -> tf_keras.Model:
    """The model in a form that TFMOT quantizes whole; its outputs at inference are the same.

    BatchNormalization after Dense is folded into it, as TFMOT would leave both in float, and after a
    transposed convolution, which TFMOT refuses. After other convolutions TFMOT keeps it, and the
    converter folds it. Separable convolutions are split, and those of one dimension are of two.

    Args:
        model: Freshly loaded.
        exclude: Patterns of layers that stay in float, and as they are.
        custom_objects: The user's layers and functions, by name.

    Raises:
        QuantizationError: If the model is subclassed.
    """
    if not isinstance(model, tf_keras.Sequential) and not model._is_graph_network:
        raise QuantizationError(
            f"{model.name} is a subclassed model, in which TFMOT sees no layers: build it with the "
            "functional API or Sequential"
        )
    foldable = tf_keras.layers.Dense, tf_keras.layers.Conv2DTranspose, tf_keras.layers.Conv1D
    folded = [
        name
        for name, norm in batch_norm.followers(model).items()
        if isinstance(model.get_layer(name), foldable)
        # One-dimensional layers are expanded even if they stay in float; reshapes come between them and their norm.
        and (type(model.get_layer(name)) is tf_keras.layers.Conv1D or not matches(name, exclude))
        and not matches(norm, exclude)
    ]
    flat = one_dimensional.expand(batch_norm.fold(model, folded, custom_objects), custom_objects)
    return separable.split(flat, exclude, custom_objects)


def quantize(
    model: tf_keras.Model,
    exclude: Sequence[str] = (),
    one_scale: Collection[str] = (),
    custom_objects: Mapping[str, Any] | None = None,
) -> tf_keras.Model:
    """A quantization-aware copy of a model.

    Args:
        model: As `prepare` returns it; not used further, as the copy shares layers with it.
        exclude: Name patterns of layers to leave in float.
        one_scale: Names of layers whose kernel has one scale in place of one for each channel.
        custom_objects: The user's layers and functions, by name.

    Raises:
        LayerSelectionError: If a pattern matches no layer, or no layer is left.
        QuantizationError: If TFMOT has no way to quantize a layer.
    """
    names = [layer.name for layer in model.layers if not isinstance(layer, tf_keras.layers.InputLayer)]
    for pattern in exclude:
        if not any(matches(name, [pattern]) for name in names):
            raise LayerSelectionError(f"pattern {pattern!r} matches no layer; those are {names}")
    if all(matches(name, exclude) for name in names):
        raise LayerSelectionError(f"exclude {list(exclude)} leaves no layer to quantize")

    in_float = {name for name in names if matches(name, exclude)}
    # TFMOT quantizes BatchNormalization only together with the convolution before it.
    in_float |= {
        layer.name
        for layer in model.layers
        if isinstance(layer, tf_keras.layers.BatchNormalization)
        and layer.inbound_nodes[0].inbound_layers.name in in_float
    }

    objects = {
        **(custom_objects or {}),
        "KernelQuantizeConfig": KernelQuantizeConfig,
        "InFloat": InFloat,
    }

    readers = batch_norm.readers(model)
    annotate = _quantization.quantize_annotate_layer

    def annotated(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if layer.name in in_float:
            if not has_kernel(layer) or not only_stock_layers(layer):
                return layer
            barred = InFloat(layer, name=layer.name)
            after = readers.get(layer.name, [])
            # Its output is quantized for those that read it, unless one of them is in float too.
            return barred if not after or in_float.intersection(after) else annotate(barred)
        _refuse(layer)
        return annotate(layer)

    def apply() -> tf_keras.Model:
        copy = tf_keras.models.clone_model(model, clone_function=annotated)
        with _quantization.quantize_scope(objects):
            return _quantization.quantize_apply(copy, _Scheme(one_scale))

    try:
        return without_autograph(apply, model)()
    except (ValueError, TypeError, RuntimeError, NotImplementedError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise _cannot(reason) from error


def _cannot(reason: str) -> QuantizationError:
    return QuantizationError(
        f"the model cannot be made quantization-aware: {reason}. Leave `qat` out of this candidate: "
        "post-training int8 needs no such support"
    )


def _refuse(layer: tf_keras.layers.Layer) -> None:
    """Raises a QuantizationError for what TFMOT would refuse without saying which layer it is."""
    if isinstance(layer, tf_keras.Model):
        raise _cannot(
            f"{layer.name} is a model inside the model, which TFMOT cannot quantize; put its layers into the "
            "model itself"
        )
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", type(activation).__name__)
    if activation is not None and has_kernel(layer) and name not in _ACTIVATIONS:
        raise _cannot(
            f"{layer.name} has activation {name}, but TFMOT quantizes only {', '.join(_ACTIVATIONS)}; write "
            "one of them, or layers.ReLU(6.0) after the layer instead of relu6"
        )


def with_one_scale(record: StepRecord) -> set[str]:
    """Layers whose kernel must not have a scale for each channel: its values would not stay few."""
    return {name for name, asked in record.layers.items() if one_scale(asked)}


def after(record: StepRecord, options: QatOptions) -> StepRecord:
    """The record of a model that the step made."""
    float_layers = [*record.float_layers, *options.exclude]
    return record.after(
        options, quantization_aware=True, float_layers=float_layers, calibration=options.calibration
    )


def train_quantization_aware(job: StepJob[QatOptions]) -> Facts:
    """Trains the model of a job on with fake quantization; zeros and clusters stay.

    Raises:
        QuantizationError: If TFMOT cannot quantize the model.
        LostInvariantError: If a layer lost zeros, or has more values than before.
    """
    model = job.load_base_model()
    record = after(StepRecord.read(job.base_model), job.options)
    exclude = job.options.exclude
    splits = fine_tuning.load_splits(job, model)
    objects = job.definition.custom_objects()
    prepared = prepare(model, exclude, objects)
    quantized = quantize(prepared, exclude, with_one_scale(record), objects)
    fine_tuning.compile_model(job, quantized)
    some = splits[0].draw(job.options.calibration.examples, job.seed)
    calibrate(quantized, some.feature_arrays(), job.options.calibration)
    keeper = RangeKeeper(_freeze_after(job.options, len(splits[0])))
    with ExitStack() as training:
        if job.options.batch_norm == "frozen":
            training.enter_context(normalization.frozen_statistics(quantized))
        if not job.options.dropout:
            training.enter_context(normalization.without_dropout(quantized))
        return fine_tuning.fit_and_save(
            job,
            quantized,
            splits,
            record,
            finish=partial(_finish, job=job, train=splits[0]),
            callbacks=[fine_tuning.Preserve(record.layers), keeper],
            # A calibrated model is as good as after post-training int8: training has to be better than that.
            or_as_before=True,
        )


def _freeze_after(options: QatOptions, examples: int) -> int | None:
    """Steps after which ranges stay as they are; None for never."""
    if options.federated:
        return 0
    share = options.freeze_ranges_after
    return None if share == 1 else round(share * fitting.total_steps(options, examples))


def _finish(model: tf_keras.Model, job: StepJob[QatOptions], train: Arrays) -> tf_keras.Model:
    if job.options.batch_norm == "re-estimated":
        normalization.estimate_statistics(model, train.features, job.options.examples_per_step())
    return model


class Executor(StepExecutor[QatOptions]):
    """Runs `train_quantization_aware`."""

    OPTIONS = QatOptions

    def run(self, job: StepJob[QatOptions]) -> Facts:
        """Trains; see `train_quantization_aware`."""
        return train_quantization_aware(job)
