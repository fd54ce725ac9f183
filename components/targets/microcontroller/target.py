"""The interface of `target: microcontroller` to the rest of the program."""

from __future__ import annotations

from components.common.base.runtime import TFLITE_MICRO
from components.targets.microcontroller.params import MicrocontrollerOptions
from components.targets.target import Advice, Target, Unsupported

MICROCONTROLLER = Target(
    options=MicrocontrollerOptions,
    runtime=TFLITE_MICRO,
    summary="Cortex-M, ESP32 and the like: TFLite Micro's interpreter with its reference kernels",
    measures=(
        "accuracy on TFLite Micro, on every eval example",
        "share of predictions that are the same on LiteRT",
        "memory: the tensor arena, by TFLite Micro's recording allocator",
        "flash: bytes of the file; of a packed candidate, memory, flash and time beside the plain file's, and whether "
        "its outputs are the same to the bit",
        "with npu: cycles, SRAM and flash on an Arm Ethos-U, and operators left on the CPU, as Vela estimates them",
        "latency on LiteRT on this machine's processor, which says nothing about a microcontroller's",
    ),
    package="tflite-micro",
    install="pip install --pre tflite-micro",
    figures=("memory", "flash", "same_prediction"),
    limits={"memory": "ram", "flash": "flash"},
    unsupported=(
        Unsupported(
            "quantization",
            "dynamic",
            "a dynamic-range file has int8 weights and float values, for which TFLite Micro has no kernels (hybrid "
            "models); write quantization: int8",
        ),
        Unsupported(
            "quantization",
            "float16",
            "TFLite Micro does not read float16 weights; write quantization: int8, or float32",
        ),
        Unsupported(
            "sparse",
            True,
            "TFLite Micro does not read sparse-encoded weights; leave `sparse` out, and write prune_channels or "
            "cluster if "
            "flash is short",
        ),
        Unsupported(
            "supported_ops",
            "SELECT_TF_OPS",
            "TFLite Micro has none of TensorFlow's own operators (Flex); leave it out, and build the model of layers "
            "that TFLite has",
        ),
    ),
    packs=True,
    searched={"quantization": "int8", "io": "int8", "pack": {"choose": [None, "auto"]}},
    float_layers="layers in float need float kernels and a floating-point unit to be fast, and float buffers in "
    "memory; leave repair out if the chip has neither",
    examination="components.targets.microcontroller.examination.examine",
    pushes={"c_array": "components.targets.microcontroller.c_array.write"},
    pushes_example=("c_array",),
    advice=(
        Advice(
            "convert int8 with io: int8",
            True,
            "memory and flash: a quarter of float32's, and no float buffers",
        ),
        Advice(
            "prune_channels, distill", True, "memory, flash and time: fewer channels, smaller activations"
        ),
        Advice("qat", True, "accuracy of int8 files; memory and flash stay the same"),
        Advice(
            "cluster, convert with pack: auto",
            True,
            "flash: kernels of few values become look-up tables; memory and time grow, as each is decoded into RAM",
        ),
        Advice(
            "prune, cluster with npu",
            True,
            "NPU cycles and flash: Vela compresses weights, and zeros and equal values take fewer bits",
        ),
        Advice(
            "prune, cluster",
            False,
            "flash and memory stay the same without pack: the file is not compressed on the device, and kernels "
            "compute with zeros",
        ),
        Advice(
            "convert int16x8",
            False,
            "memory: activations take twice the bytes; only if int8 is not accurate enough",
        ),
        Advice("convert dynamic, float16, sparse", False, "TFLite Micro does not load such files"),
    ),
)
