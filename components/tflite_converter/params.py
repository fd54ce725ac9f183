"""Options of the `convert` step."""

from __future__ import annotations

import operator
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from components.common.base.asked_types import AskedTypes
from components.common.base.byte_sizes import Bytes
from components.common.base.held_back_limit import HeldBackLimit
from components.common.base.near_names import nearest
from components.common.base.options import Options, is_none
from components.common.base.step_options import StepOptions

Quantization = Literal["float32", "dynamic", "float16", "int8", "int16x8"]
Granularity = Literal["per-channel", "per-tensor"]
CALIBRATED: frozenset[str] = frozenset({"int8", "int16x8"})

# Entries of the schema that are not computations.
_NO_OPERATOR = frozenset({"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"})
_UNSCALED = ("float32", "float16")
_NOT_SPARSE = {
    "dynamic": "LiteRT has no kernel for convolutions and dense layers of that kind, and does not load the file",
    "int16x8": "the sparse encoder of TensorFlow Lite loses the type of int16x8 biases, and LiteRT does not "
    "load the file",
}


def _operator(name: str) -> str:
    """Refuses the name of an operator that TensorFlow Lite does not have."""
    # Takes 0.15 s, most of it NumPy, which only a config that names operators has to spend.
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    known = {n for n, value in vars(BuiltinOperator).items() if isinstance(value, int)} - _NO_OPERATOR
    if name not in known:
        meant = nearest(name, sorted(known)) or "; write names such as SOFTMAX or FULLY_CONNECTED"
        raise ValueError(f"{name!r} is not an operator of TensorFlow Lite{meant}")
    return name


HELD_BACK = 1000


def _is_usual(count: object) -> bool:
    return count == HELD_BACK


class RepairOptions(Options):
    """Layers that are left in float, one by one, if an int8 file misses a limit on accuracy."""

    max_float: int = Field(
        default=3, ge=1, description="Most layers that may stay in float, the one that helps most first."
    )


class ConvertOptions(StepOptions):
    """Conversion to one TFLite file.

    https://www.tensorflow.org/lite/performance/post_training_quantization
    """

    technique: ClassVar[str] = "convert"

    quantization: Quantization = Field(
        description="float32: as trained; dynamic: int8 weights, activations quantized while running; "
        "float16: half-precision weights; int8: integer weights and activations; int16x8: int8 "
        "weights, int16 activations.",
    )
    io: Literal["float32", "int8", "uint8", "int16"] = Field(
        default="float32",
        description="Type of the file's inputs and outputs: int8 and uint8 only with int8, int16 only with int16x8.",
    )
    calibration_examples: int = Field(
        default=200,
        ge=1,
        description="Training examples, drawn with run.seed, that int8 and int16x8 take ranges from.",
    )
    granularity: Literal["auto", "per-channel", "per-tensor"] = Field(
        default="auto",
        description="Scales of quantized kernels: one per output channel of a convolution, which is more accurate, "
        "or one for the whole kernel, which keeps the few values of a clustered one; auto: "
        "per-tensor for clustered models, else per-channel. With TensorFlow 2.16, Dense layers have one "
        "scale in both cases; later versions give them one per unit.",
    )
    sparse: bool = Field(
        default=False,
        description="Stores only the nonzero weights of pruned layers. Smaller from about 60 % sparsity "
        "on, not faster. For float32 and float16, and for int8 if no pruned layer is a dense one.",
    )
    float_ops: list[Annotated[str, AfterValidator(_operator)]] = Field(
        default=[],
        description="TFLite operators, such as SOFTMAX, to leave in float in an int8 file.",
    )
    float_layers: list[str] = Field(
        default=[], description="Name patterns of layers to leave in float in an int8 file."
    )
    supported_ops: list[Literal["TFLITE_BUILTINS", "TFLITE_BUILTINS_INT8", "SELECT_TF_OPS"]] = Field(
        default=[],
        description="Kinds of operators that the file may have, as in tf.lite.OpsSet; none: as the "
        "quantization needs. TFLITE_BUILTINS_INT8 alone refuses an int8 file with operators in float, "
        "beside TFLITE_BUILTINS it allows them. A file with SELECT_TF_OPS operators needs the Flex "
        "delegate, which LiteRT does not have: it does not load, and cannot pass the gate.",
    )
    # Left out of the canonical JSON if it is false: no file is converted again because there is the option.
    fixed_batch: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="Fixes the batch at 1 in the file. Layers whose shapes depend on the batch (LayerNormalization, "
        "Dense on several axes, recurrent layers) then need no operators on shapes, which TFLite Micro lacks. Also "
        "applies to the baseline's file. target: web always does.",
    )

    pack: Literal["lut", "auto"] | None = Field(
        default=None,
        exclude_if=is_none,
        description="Writes a second file in which kernels of at most 128 distinct values are look-up tables, which "
        "TFLite Micro decodes into RAM while it runs: less flash, more memory and time. lut: every kernel that takes "
        "fewer bytes packed; auto: those that make the file smaller as long as memory stays within its limit. Needs "
        "target: microcontroller.",
    )
    pack_memory: Annotated[Bytes, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=is_none,
        description="Most bytes of memory that a file packed with pack: auto may take, e.g. 16 kB. Default: "
        "gate.memory.max, or the target's ram.",
    )

    saved_model: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="Writes a SavedModel for TensorFlow Serving beside the file: of the model that the file is "
        "converted from, with the signatures serving_default (tensors) and examples (serialized tf.Examples). "
        "push.serving and push.tfjs set it.",
    )
    warmup: int = Field(
        default=0,
        ge=0,
        le=1000,
        exclude_if=operator.not_,
        description="Eval examples that TensorFlow Serving predicts before the SavedModel takes over. They become part "
        "of it.",
    )

    repair: RepairOptions | None = Field(
        default=None,
        exclude_if=is_none,
        description="If the int8 file misses a limit of gate.accuracy on training examples that are held back from "
        "calibration, leaves the most sensitive layers in float, one by one, e.g. {max_float: 3}. Never uses the eval "
        "split.",
    )
    layer_errors: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="Measures which layers lose accuracy in int8, for the report: the error of each, and the accuracy "
        "that returns if it alone stays in float. repair does so, too.",
    )
    held_back: int = Field(
        default=HELD_BACK,
        ge=10,
        exclude_if=_is_usual,
        description="Training examples, drawn with run.seed, that repair and layer_errors measure accuracy on; at most "
        "half of them. Ranges are taken from others.",
    )
    limits: list[HeldBackLimit] = Field(
        default=[],
        exclude_if=operator.not_,
        description="Metrics and limits of repair and layer_errors, e.g. [{metric: SparseCategoricalAccuracy, "
        "max_drop: 0.01}]. Default: those of gate.accuracy, without its slices and intervals.",
    )

    def check_after(self, before: StepOptions) -> None:
        """Refuses what a model that was trained for int8 has settled already."""
        conflict = self.quantization_aware_conflict()
        if before.quantization_aware and conflict:
            raise ValueError(conflict)
        why = before.why_one_scale()
        if self.granularity == "per-channel" and why:
            raise ValueError(f"granularity: per-channel gives each channel its own scale, and {why}")

    def called_modules(self) -> tuple[str, ...]:
        """The modules that pack, write a SavedModel and examine layers, if they are asked to."""
        packing = () if self.pack is None else ("components.common.tflite.packing",)
        repairing = ("components.tflite_converter.repairing",) if self.examines_layers else ()
        serving = ("components.tflite_converter.tf_serving",) if self.saved_model else ()
        return (*packing, *serving, *repairing)

    @property
    def examines_layers(self) -> bool:
        """Whether the file of each layer in float is measured, to find those that lose accuracy."""
        return self.repair is not None or self.layer_errors

    def compares_with_baseline(self) -> bool:
        """Whether accuracy is measured."""
        return self.examines_layers

    def limited_by(self, limits: list[HeldBackLimit]) -> ConvertOptions:
        """The same options; those that examine layers without limits of their own get these."""
        if not self.examines_layers or self.limits:
            return self
        return self.model_copy(update={"limits": limits})

    def packed_within(self, memory: float | None) -> ConvertOptions:
        """The same options; automatic packing without a limit of its own gets this one, in bytes."""
        if self.pack != "auto" or self.pack_memory is not None or memory is None:
            return self
        return self.model_copy(update={"pack_memory": memory})

    def types(self, left: list[str] | None = None) -> AskedTypes:
        """The types that the file is to have.

        Args:
            left: Layers that a repair left in float besides.
        """
        return AskedTypes(
            quantization=self.quantization,
            io=self.io,
            float_ops=self.float_ops,
            float_layers=[*self.float_layers, *(left or [])],
            may_fall_back=not {"TFLITE_BUILTINS", "SELECT_TF_OPS"}.isdisjoint(self.supported_ops),
        )

    def quantization_aware_conflict(self) -> str | None:
        """Why these options cannot work on a quantization-aware model, and what to write; else None."""
        if self.quantization != "int8":
            return (
                f"`qat` trains for int8, and `convert` to {self.quantization} would not keep that; write "
                "`convert: {quantization: int8}`, or leave `qat` out"
            )
        for name in ("repair", "layer_errors"):
            if getattr(self, name):
                return (
                    f"{name} is for post-training quantization, and `qat` has trained the ranges already; remove it, "
                    "and leave layers in float by `exclude` of `qat`"
                )
        for name in ("float_ops", "float_layers"):
            if getattr(self, name):
                return (
                    f"{name} has no effect on a quantization-aware model; `qat` has its own `exclude`: "
                    "write the layers there"
                )
        if self.granularity == "per-tensor":
            return (
                "granularity: per-tensor has no effect on a quantization-aware model, whose scales `qat` "
                "has trained; leave it out"
            )
        if "TFLITE_BUILTINS_INT8" in self.supported_ops:
            return (
                "supported_ops: TFLITE_BUILTINS_INT8 is for post-training int8; after `qat` write "
                "[TFLITE_BUILTINS], or leave it out"
            )
        return None

    @model_validator(mode="after")
    def _io_fits_quantization(self) -> ConvertOptions:
        wanted = {"int8": "int8", "uint8": "int8", "int16": "int16x8"}.get(self.io)
        if wanted and self.quantization != wanted:
            raise ValueError(
                f"io: {self.io} needs quantization: {wanted} (this is {self.quantization}); "
                "write io: float32 or change the quantization"
            )
        return self

    @model_validator(mode="after")
    def _warmup_has_a_saved_model(self) -> ConvertOptions:
        if self.warmup and not self.saved_model:
            raise ValueError(
                f"warmup: {self.warmup} is of a SavedModel; write saved_model: true, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _granularity_fits_quantization(self) -> ConvertOptions:
        if self.granularity != "auto" and self.quantization in _UNSCALED:
            raise ValueError(
                f"granularity: {self.granularity} has no meaning for {self.quantization}, whose weights "
                "have no scales; leave it out, or write quantization: dynamic, int8 or int16x8"
            )
        return self

    @model_validator(mode="after")
    def _sparse_fits_quantization(self) -> ConvertOptions:
        if not self.sparse:
            return self
        if self.quantization in _NOT_SPARSE:
            raise ValueError(
                f"sparse: true does not work with {self.quantization}: {_NOT_SPARSE[self.quantization]}; "
                "leave it out (zeros then show in gzip_size), or write quantization: float32, float16 or int8"
            )
        for name in ("float_ops", "float_layers"):
            if getattr(self, name):
                raise ValueError(
                    f"sparse: true and {name} cannot be combined, as the quantizer that leaves parts in "
                    "float writes no sparse encoding; leave one of the two out"
                )
        return self

    @model_validator(mode="after")
    def _memory_limits_automatic_packing(self) -> ConvertOptions:
        if self.pack_memory is not None and self.pack != "auto":
            raise ValueError("pack_memory limits what pack: auto chooses; write pack: auto, or remove it")
        return self

    @model_validator(mode="after")
    def _float_parts_fit_quantization(self) -> ConvertOptions:
        for name in ("float_ops", "float_layers"):
            if not getattr(self, name):
                continue
            if self.quantization != "int8":
                raise ValueError(
                    f"{name} leaves parts of an int8 file in float (this is {self.quantization}); leave it "
                    "out, or write quantization: int8"
                )
            if self.supported_ops == ["TFLITE_BUILTINS_INT8"]:
                raise ValueError(
                    f"supported_ops: [TFLITE_BUILTINS_INT8] allows only integers, which {name} contradicts; leave "
                    f"one of the two out"
                )
        return self

    @model_validator(mode="after")
    def _repair_fits_quantization(self) -> ConvertOptions:
        name = "repair" if self.repair is not None else "layer_errors"
        if not self.examines_layers:
            if self.limits:
                raise ValueError(
                    "limits belong to repair and layer_errors; write one of them, or remove it"
                )
            return self
        if self.quantization != "int8":
            raise ValueError(
                f"{name} is about layers of an int8 file (this is {self.quantization}); write quantization: int8, or "
                "remove it"
            )
        if self.io == "uint8":
            raise ValueError(
                f"{name} cannot be combined with io: uint8, which the quantizer that leaves layers in float does not "
                "write; write io: float32 or int8"
            )
        if self.sparse:
            raise ValueError(
                f"{name} cannot be combined with sparse: true, as the quantizer that leaves layers in float writes no "
                "sparse encoding; remove one of the two"
            )
        if self.supported_ops == ["TFLITE_BUILTINS_INT8"]:
            raise ValueError(
                f"supported_ops: [TFLITE_BUILTINS_INT8] allows only integers, and {name} leaves layers in float; "
                "remove one of the two"
            )
        if self.repair is not None and self.limits and not any(limit.bounds() for limit in self.limits):
            raise ValueError(
                "no metric in limits has a limit, so repair has no aim; write e.g. max_drop: 0.01"
            )
        return self

    @model_validator(mode="after")
    def _supported_ops_fit_quantization(self) -> ConvertOptions:
        if len(set(self.supported_ops)) < len(self.supported_ops):
            raise ValueError(f"supported_ops {self.supported_ops} names a kind twice; write each once")
        if "TFLITE_BUILTINS_INT8" in self.supported_ops and self.quantization != "int8":
            raise ValueError(
                f"TFLITE_BUILTINS_INT8 needs quantization: int8 (this is {self.quantization}); write "
                "supported_ops: [TFLITE_BUILTINS], or leave it out"
            )
        if self.supported_ops == ["SELECT_TF_OPS"]:
            raise ValueError(
                "supported_ops: [SELECT_TF_OPS] alone would turn every operator into one of TensorFlow; "
                "write [TFLITE_BUILTINS, SELECT_TF_OPS]"
            )
        return self

    def _slug_name(self) -> str:
        return f"{self.technique}-{self.quantization}"

    def _named_in_slug(self) -> set[str]:
        return {"quantization"}


def resolve_granularity(options: ConvertOptions, clustered: bool) -> Granularity:
    """The meaning of `granularity: auto` for a model.

    With a scale for each output channel, equal weights of two channels become different integers, so
    that a kernel of 16 distinct weights may have some hundred in the file.

    Args:
        options: Options of the conversion.
        clustered: Whether kernels of the model have to keep few distinct values in all channels together.
    """
    if options.granularity != "auto":
        return options.granularity
    return "per-tensor" if clustered and options.quantization not in _UNSCALED else "per-channel"
