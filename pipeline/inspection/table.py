"""An inspection as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.common.base.quantities import bytes_text
from pipeline.inspection.contents import (
    KERAS,
    SAVED_MODEL,
    TFLITE,
    Inspection,
    Layer,
    Port,
    Signature,
    TensorRow,
    Unread,
)

_FORMATS = {TFLITE: "TFLite file", SAVED_MODEL: "SavedModel", KERAS: "Keras model"}
# Narrower than this, only what decides is shown.
_WIDE = 110


def show(inspection: Inspection | Unread, console: Console, tensors: bool) -> None:
    """Prints an inspection.

    Args:
        inspection: Inspection of one model, or why there is none.
        console: Its width decides how many columns there are.
        tensors: Whether to list the tensors, too.
    """
    console.print(Text(inspection.path, style="bold"), soft_wrap=True)
    if isinstance(inspection, Unread):
        console.print(Text(f"{_FORMATS[inspection.format]}: {inspection.error}", style="red"))
        return
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(inspection):
        facts.add_row(name, value)
    console.print(facts)
    wide = console.width >= _WIDE
    if inspection.layers:
        console.print(layer_table(inspection, wide))
    if tensors and inspection.tensors:
        console.print(tensor_table(inspection.tensors, wide))


def _facts(inspection: Inspection) -> Iterator[tuple[str, Text]]:
    yield "format", Text(_FORMATS[inspection.format])
    yield (
        "size",
        Text(f"{bytes_text(inspection.bytes)}, {bytes_text(inspection.gzip_bytes)} gzip-compressed"),
    )
    yield "parameters", Text(f"{inspection.parameters:,}")
    for name, signature in inspection.signatures.items():
        yield "signature", Text(f"{name}: {_signature(signature)}")
    yield "operators", _counts(inspection.operators)
    if inspection.activations:
        yield "activations", _counts(inspection.activations)
    if inspection.code:
        yield "code", Text(f"loading it would run {', '.join(inspection.code)}", style="red")
    if inspection.needs_load:
        yield "needs --load", Text(", ".join(inspection.needs_load))
    trial = inspection.trial
    if trial is not None:
        if trial.error is None:
            yield "runs", Text(f"on {trial.runtime} with the default delegate", style="green")
        else:
            what = "loads, but does not run" if trial.loads else "does not load"
            yield "runs", Text(f"{what} on {trial.runtime}: {trial.error}", style="red")


def _counts(counts: dict[str, int]) -> Text:
    return Text(", ".join(f"{name} {count}" for name, count in counts.items()) or "none")


def _signature(signature: Signature) -> str:
    sides = (", ".join(map(_port, side.items())) for side in (signature.inputs, signature.outputs))
    return " → ".join(sides)


def _port(item: tuple[str, Port]) -> str:
    name, port = item
    text = f"{name} {port.dtype}[{_shape(port.shape)}]"
    if port.scale is not None:
        text += f" (scale {port.scale:.4g}, zero point {port.zero_point})"
    return text


def _shape(shape: tuple[int | None, ...] | None) -> str:
    if shape is None:
        return "…"
    return "×".join("?" if size is None else str(size) for size in shape)


def layer_table(inspection: Inspection, wide: bool) -> Table:
    """Weights layer by layer, with what they take of the file and how many of them are zero.

    Args:
        inspection: With layers.
        wide: Whether there is room for shapes and counts.
    """
    table = Table(title="Weights by layer", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("layer", overflow="fold")
    table.add_column("operator", overflow="fold")
    if wide:
        table.add_column("kernel", no_wrap=True)
    table.add_column("dtype", no_wrap=True)
    if wide:
        table.add_column("parameters", justify="right", no_wrap=True)
    for name in ("bytes", "share", "zeros", "unique"):
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("per channel", justify="right", no_wrap=True)
    for layer in inspection.layers:
        table.add_row(*_layer_cells(layer, inspection.bytes, wide))
    rest = inspection.other_bytes()
    blank = [""] * (4 if wide else 2)
    table.add_row("all else", *blank, bytes_text(rest), f"{rest / inspection.bytes:.1%}", style="dim")
    return table


def _layer_cells(layer: Layer, total: int, wide: bool) -> list[Text | str]:
    dtype = Text(layer.dtype)
    if layer.sparse:
        dtype.append(" sparse", style="cyan")
    cells: list[Text | str] = [Text(layer.name), Text(layer.kind)]
    cells += [_shape(layer.shape) if layer.shape is not None else "–"] if wide else []
    cells += [dtype]
    cells += [f"{layer.parameters:,}"] if wide else []
    cells += [bytes_text(layer.bytes), f"{layer.bytes / total:.1%}"]
    cells += ["–" if layer.sparsity is None else f"{layer.sparsity:.1%}", _count(layer.unique)]
    cells += [_count(layer.unique_per_channel)] if wide else []
    return cells


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def tensor_table(tensors: list[TensorRow], wide: bool) -> Table:
    """All tensors, with their quantization.

    Args:
        tensors: In the order of the file.
        wide: Whether there is room for numbers and bytes.
    """
    table = Table(title="Tensors", title_justify="left", box=box.SIMPLE_HEAD)
    if wide:
        table.add_column("#", justify="right", no_wrap=True)
    table.add_column("tensor", overflow="fold", ratio=1)
    table.add_column("dtype", overflow="fold")
    table.add_column("shape", no_wrap=wide, overflow="fold")
    if wide:
        table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("scale", justify="right", no_wrap=True)
    table.add_column("zero point" if wide else "zero", justify="right", no_wrap=True)
    for number, tensor in enumerate(tensors):
        cells: list[Text | str] = [str(number)] if wide else []
        cells += [Text(tensor.name), tensor.dtype + (" sparse" if tensor.sparse else "")]
        cells += [_shape(tensor.shape) or "scalar"]
        cells += [bytes_text(tensor.bytes) if tensor.bytes else "–"] if wide else []
        cells += [_scale(tensor), "–" if tensor.zero_point is None else str(tensor.zero_point)]
        table.add_row(*cells)
    return table


def _scale(tensor: TensorRow) -> str:
    if tensor.scale is not None:
        return f"{tensor.scale:.4g}"
    return f"{tensor.scales}, axis {tensor.channel_axis}" if tensor.scales else "–"
