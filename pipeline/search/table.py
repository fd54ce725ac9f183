"""The trials of a search and its space as tables. Imports neither TensorFlow, TFX nor Optuna."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from components.common.base.quantities import bytes_text, number_text
from pipeline.config.search_section import Space
from pipeline.search.ranking import front
from pipeline.store.search_record import Fate, Trial

_COLORS = {
    Fate.PASSED: "green",
    Fate.MISSED: "yellow",
    Fate.PRUNED: "dim",
    Fate.FAILED: "red",
    Fate.PROPOSED: "cyan",
}


def trials_table(trials: Sequence[Trial], space: Space, title: str) -> Table:
    """Trials by number, with their figures on the tune split; a star marks those on the front."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("", "trial", "accuracy", "size", "gzip"):
        table.add_column(
            name, no_wrap=True, justify="right" if name in ("accuracy", "size", "gzip") else "left"
        )
    table.add_column("candidate", overflow="fold")
    table.add_column("tune split", overflow="fold")
    kept = {trial.number for trial in front(trials)}
    for trial in trials:
        figures = trial.outcome.figures if trial.outcome else {}
        table.add_row(
            "[bold green]★[/]" if trial.number in kept else "",
            str(trial.number),
            number_text(figures.get("accuracy")),
            bytes_text(figures.get("size")),
            bytes_text(figures.get("gzip_size")),
            escape(chain_text(space.steps(trial.values))),
            f"[{_COLORS[trial.fate]}]{trial.fate}[/]",
        )
    return table


def chain_text(steps: Sequence[Mapping[str, Any]]) -> str:
    """A chain on one line: `prune(sparsity: 0.8) → convert(quantization: int8)`."""
    texts = []
    for step in steps:
        ((technique, options),) = step.items()
        inner = ", ".join(f"{name}: {value}" for name, value in options.items())
        texts.append(f"{technique}({inner})" if inner else technique)
    return " → ".join(texts)


def space_table(space: Space) -> Table:
    """The space: each step with what is searched of it."""
    table = Table(title="Space of the search", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("step", "parameter", "values"):
        table.add_column(name, overflow="fold")
    for index, (name, step) in enumerate(zip(space.names(), space.root, strict=True)):
        rows = [(parameter, str(domain)) for parameter, domain in space.domains_of(index).items()]
        if step.optional:
            rows.insert(0, (name, "with it, or without"))
        for number, (parameter, values) in enumerate(rows or [("", "as it is")]):
            table.add_row(escape(step.technique) if number == 0 else "", escape(parameter), escape(values))
    return table
