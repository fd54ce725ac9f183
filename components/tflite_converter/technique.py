"""The interface of the `convert` step to the rest of the program."""

from components.common.steps.technique import Advice, Chain, Technique
from components.tflite_converter.params import ConvertOptions


def _smaller(chain: Chain) -> str:
    if chain.quantization not in ("float32", "float16"):
        return ""
    return f"convert with quantization int8 in place of {chain.quantization}"


def _faster(chain: Chain) -> str:
    if chain.own and chain.own.get("sparse"):
        return "leave out sparse: true, as the runtime unpacks such weights"
    if chain.quantization not in ("float32", "float16", "int16x8"):
        return ""
    return f"convert with quantization int8 or dynamic in place of {chain.quantization}"


def _more_accurate(chain: Chain) -> str:
    if chain.quantization != "int8" or chain.quantization_aware or not chain.own or chain.own.get("repair"):
        return ""
    return "write repair: {max_float: 3} under convert, which leaves the layers in float that lose most"


CONVERT = Technique(
    options=ConvertOptions,
    component="components.tflite_converter.component.TFLiteConverter",
    explanation="components.tflite_converter.explanation.explain",
    stage=5,
    closes="it writes the TFLite file that is deployed, which no step can train further",
    converts=True,
    advice=(
        Advice("size", 0, _smaller),
        Advice("gzip_size", 0, _smaller),
        Advice("latency", 0, _faster),
        Advice("accuracy", 3, _more_accurate),
    ),
)
