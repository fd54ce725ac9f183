"""Failures of a conversion, in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from components.common.base import compatibility
from components.common.base.errors import ParedownError

_LONGEST = 300


class ConversionError(ParedownError):
    """A model cannot be converted as asked; the message, one line, has the reason."""


def reason(error: Exception) -> str:
    """Why the TensorFlow Lite converter failed: the operators at fault and what is wrong with them.

    The converter's own text repeats every location in the graph and runs to pages. Its ConverterError has
    the same as structured data, in the reverse order of the model.

    Args:
        error: What `TFLiteConverter.convert` raised.
    """
    codes = compatibility.converter_error_data()
    faults = list(reversed(getattr(error, "errors", [])))
    types = _argument_types(str(error))
    by_code = {
        code: _listed(_operator(fault, types) for fault in faults if fault.error_code == code)
        for code in (codes.ERROR_NEEDS_CUSTOM_OPS, codes.ERROR_NEEDS_FLEX_OPS)
    }
    if by_code[codes.ERROR_NEEDS_CUSTOM_OPS]:
        return (
            f"no kernel of TensorFlow Lite, nor of TensorFlow inside it, computes "
            f"{by_code[codes.ERROR_NEEDS_CUSTOM_OPS]}; build the model without it"
        )
    if by_code[codes.ERROR_NEEDS_FLEX_OPS]:
        return (
            f"no kernel of TensorFlow Lite computes {by_code[codes.ERROR_NEEDS_FLEX_OPS]}; build the model "
            "without it, or write supported_ops: [TFLITE_BUILTINS, SELECT_TF_OPS], though LiteRT does not "
            "load such a file"
        )
    if faults:
        message = re.sub(r"^'tf\.\w+' op ", "", _first_line(faults[0].error_message))
        return f"{_operator(faults[0], {})}: {message}"
    return _first_line(str(error).partition("<unknown>")[0]) or type(error).__name__


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return (line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…").rstrip(".")


def _listed(names: Iterable[str]) -> str:
    """Names in their order, each once."""
    return ", ".join(dict.fromkeys(names))


def _argument_types(text: str) -> dict[str, str]:
    """Operator → types of its arguments, from the lines such as `tf.Erf(tensor<?x3xf32>) -> (…)`."""
    return dict(re.findall(r"^\s*tf\.(\w+)\((.*?)\) -> ", text, flags=re.MULTILINE))


def _operator(fault: Any, types: dict[str, str]) -> str:
    """An operator at fault, with its layer: `Erf(tensor<?x3xf32>) of layer gelu`."""
    name = fault.operator.name.removeprefix("tf.")
    shown = f"{name}({types[name]})" if name in types else name
    # In `cnn/gelu/Erf@__inference_serve_12`, the layer follows the model.
    scopes = [call.name.partition("@")[0].split("/") for call in fault.location.call]
    layer = next((parts[1] for parts in scopes if len(parts) > 2), "")
    return f"{shown} of layer {layer}" if layer else shown
