"""Explanations as people see them."""

from __future__ import annotations

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from components.common.base.quantities import bytes_text
from pipeline.explain.explanation import Candidate, Step


def show(console: Console, candidates: list[Candidate]) -> None:
    """Prints for each candidate the effects on its layers, then on the whole model, and what is refused."""
    for candidate in candidates:
        console.print(_title(candidate))
        if any(step.explanation.effects for step in candidate.steps):
            console.print(_layers(console, candidate))
        for lines in (_trainings(candidate), _refusals(candidate)):
            if lines.row_count:
                console.print(lines)
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
        packed = candidate.device.flash if candidate.device else None
        if packed is not None:
            title.append(f", packed {bytes_text(packed)}", style="dim")
        taken = candidate.device.memory if candidate.device else None
        if taken is not None:
            title.append(f", {bytes_text(taken.total)} of memory", style="dim")
    return title


def _layers(console: Console, candidate: Candidate) -> RenderableType:
    """Layers against steps; in a terminal too narrow for that, a paragraph for each layer."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("layer", no_wrap=True)
    for step in candidate.steps:
        table.add_column(_name(step), no_wrap=True)
    for name in _names(candidate):
        table.add_row(
            Text(name), *(Text(step.explanation.effects.get(name, "")) for step in candidate.steps)
        )
    if (rest := _rest(candidate)) is not None:
        table.add_row("all else", *[""] * (len(candidate.steps) - 1), rest, style="dim")
    wide = console.options.update(max_width=10_000)
    return table if console.measure(table, options=wide).maximum <= console.width else _narrow(candidate)


def _narrow(candidate: Candidate) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("layer", overflow="fold")
    table.add_column("result")
    for name in _names(candidate):
        found = Text()
        for step in candidate.steps:
            if name in step.explanation.effects:
                found.append("; " if found else "").append(f"{_name(step)}: ", style="dim")
                found.append(step.explanation.effects[name])
        table.add_row(Text(name), found)
    if (rest := _rest(candidate)) is not None:
        table.add_row("all else", rest, style="dim")
    return table


def _rest(candidate: Candidate) -> Text | None:
    """The rest of the file beside the weights (operators, names, scales), so that the bytes add up to the file."""
    rest = candidate.other_bytes()
    return None if rest is None else Text(f"{rest:,} B")


def _trainings(candidate: Candidate) -> Table:
    """How each step trains, and what may go wrong in it."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for step in candidate.steps:
        if step.training and not step.explanation.refusals:
            table.add_row(Text(f" {_name(step)}:"), Text(step.training.text(), style="dim"))
        for remark in step.explanation.remarks:
            table.add_row(Text(f" {_name(step)}:"), Text(remark, style="dim"))
        for note in step.explanation.notes:
            table.add_row(Text(f" {_name(step)}:"), Text(note, style="yellow"))
    return table


def _refusals(candidate: Candidate) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, style="bold red")
    table.add_column(style="red", overflow="fold")
    for step in candidate.steps:
        for refusal in step.explanation.refusals:
            table.add_row(Text(f" {_name(step)}:"), Text(str(refusal)))
    return table


def _name(step: Step) -> str:
    return f"{step.options.technique} {getattr(step.options, 'quantization', '')}".strip()


def _names(candidate: Candidate) -> list[str]:
    """Layers that steps change, in the model's order; other names come last."""
    found = [name for step in candidate.steps for name in step.explanation.effects]
    order = dict.fromkeys([*candidate.layers, *found])
    return [name for name in order if name in set(found)]
