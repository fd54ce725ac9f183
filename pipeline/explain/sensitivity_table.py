"""What each layer of an int8 file costs, as people see it: in a terminal and in the report. Imports no TensorFlow."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.common.base.sensitivity import LayerError, Sensitivity

_NONE = "–"
# The last columns hold words.
_WORDS = -2


def columns(found: Sensitivity) -> list[str]:
    """Heads of the table."""
    measured = any(one.value is not None for one in found.layers)
    value = ["alone in float", "gain"] if measured else []
    return [
        "layer",
        "operators",
        "error in steps",
        "SNR",
        "cosine",
        *value,
        "likely reason",
        "what to write",
    ]


def rows(found: Sensitivity) -> list[list[str]]:
    """A row for each layer, the one that costs most first."""
    measured = any(one.value is not None for one in found.layers)
    return [
        [
            one.layer,
            ", ".join(one.operators),
            f"{one.rmse_scale:.2f}",
            _NONE if one.snr is None else f"{one.snr:.1f} dB",
            _NONE if one.cosine is None else f"{one.cosine:.4f}",
            *(_value(found, one) if measured else []),
            one.why() or _NONE,
            one.advice() if one.reason or (found.gain(one) or 0) > 0 else _NONE,
        ]
        for one in found.layers
    ]


def _value(found: Sensitivity, layer: LayerError) -> list[str]:
    gain = found.gain(layer)
    if layer.value is None or gain is None:
        return [_NONE, _NONE]
    return [f"{layer.value:.4f}", f"{gain:+.4f}"]


def summary(found: Sensitivity) -> str:
    """What the whole file loses, in a sentence."""
    if found.in_float is None or found.in_int8 is None:
        return f"Errors on {found.compared:,} training examples."
    return (
        f"{found.metric} {found.in_float:.4f} in float, {found.in_int8:.4f} in int8, on {found.examples:,} held-back "
        f"training examples; errors on {found.compared:,} others."
    )


def show(console: Console, name: str, found: Sensitivity) -> None:
    """Prints the figures of a candidate as a table, and below it what to write about a layer."""
    console.print(Text(name, style="bold"))
    console.print(Text(summary(found), style="dim"))
    heads, shown = columns(found), rows(found)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for head in heads[:_WORDS]:
        table.add_column(
            head, justify="left" if head in ("layer", "operators") else "right", overflow="fold"
        )
    for row in shown:
        table.add_row(*(Text(cell) for cell in row[:_WORDS]))
    console.print(table)
    for row in shown:
        why, write = row[_WORDS:]
        if write != _NONE:
            console.print(Text(f"{row[0]}: {'' if why == _NONE else f'{why}; '}write {write}"))
