"""Explanations as people see them."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.explain import Candidate
from pipeline.terminal import bytes_text


def show(console: Console, candidates: list[Candidate]) -> None:
    """Prints a table for each candidate: its layers against its steps, then what is refused."""
    for candidate in candidates:
        console.print(_title(candidate))
        console.print(_table(candidate))
        for step in candidate.steps:
            for refusal in step.explanation.refusals:
                console.print(Text(f"  {step.options.technique}: {refusal}", style="red"), soft_wrap=True)
        console.print()


def _title(candidate: Candidate) -> Text:
    title = Text(candidate.name, style="bold")
    if candidate.refused():
        title.append("  cannot be built", style="bold red")
    elif candidate.size is not None:
        ratio = candidate.size / candidate.baseline_size
        title.append(
            f"  about {bytes_text(candidate.size)}, {ratio:.3f} × the baseline's "
            f"{bytes_text(candidate.baseline_size)}",
            style="dim",
        )
    return title


def _table(candidate: Candidate) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=True)
    table.add_column("layer", no_wrap=True)
    for step in candidate.steps:
        quantization = getattr(step.options, "quantization", "")
        table.add_column(f"{step.options.technique} {quantization}".strip(), overflow="fold")
    for name in _names(candidate):
        cells = [step.explanation.effects.get(name, "") for step in candidate.steps]
        if any(cells):
            table.add_row(name, *cells)
    return table


def _names(candidate: Candidate) -> list[str]:
    """Layers, and what is no layer of the model but was told of."""
    told = (name for step in candidate.steps for name in step.explanation.effects)
    return list(dict.fromkeys([*candidate.layers, *told]))
