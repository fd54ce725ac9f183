"""How to load the pushed model, as code that runs."""

from __future__ import annotations

from pipeline.report.data import Port, Pushed


def code(pushed: Pushed) -> str:
    """A Python program that runs the pushed file on one example.

    Args:
        pushed: Whose inputs the program fills with zeros, quantized as the file expects them. If the file
            could not be read, the program asks the interpreter for them.
    """
    lines = [
        "import numpy as np",
        "from ai_edge_litert.interpreter import Interpreter",
        "",
        f"interpreter = Interpreter({pushed.file!r})",
        'model = interpreter.get_signature_runner("serving_default")',
        "",
    ]
    if pushed.inputs is None or pushed.outputs is None:
        return "\n".join(
            [
                *lines,
                "inputs = {",
                '    name: np.zeros(details["shape"], details["dtype"])',
                "    for name, details in model.get_input_details().items()",
                "}",
                "print(model(**inputs))",
            ]
        )
    lines.append("inputs = {")
    for port in pushed.inputs:
        lines += _input(port)
    lines += ["}", "outputs = model(**inputs)"]
    for port in pushed.outputs:
        lines += _output(port)
    return "\n".join(lines)


def _input(port: Port) -> list[str]:
    shape = tuple(1 if size < 0 else size for size in port.shape)
    zeros = f"np.zeros({shape}, np.float32)"
    if _is_quantized(port):
        return [
            f"    # In the values that the model was trained on: q = value / {port.scale:g} + {port.zero_point}",
            f"    {port.name!r}: np.clip(",
            f"        np.round({zeros} / {port.scale!r} + {port.zero_point}),",
            f"        np.iinfo(np.{port.dtype}).min,",
            f"        np.iinfo(np.{port.dtype}).max,",
            f"    ).astype(np.{port.dtype}),",
        ]
    return [f"    {port.name!r}: np.zeros({shape}, np.{port.dtype}),"]


def _output(port: Port) -> list[str]:
    if _is_quantized(port):
        return [f"print((outputs[{port.name!r}].astype(np.float32) - {port.zero_point}) * {port.scale!r})"]
    return [f"print(outputs[{port.name!r}])"]


def _is_quantized(port: Port) -> bool:
    return port.dtype in ("int8", "uint8", "int16") and bool(port.scale)
