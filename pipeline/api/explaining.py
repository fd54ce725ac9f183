"""The effect of each step on each layer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from components.targets.target import Target
from pipeline import environment
from pipeline.base import collector, log_file
from pipeline.base.shown import Shown
from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import Problem
from pipeline.config.search_section import Space
from pipeline.explain import targets_table
from pipeline.plan.planner import make_plan
from pipeline.search.table import space_table

if TYPE_CHECKING:
    from pipeline.explain.explanation import Candidate


@dataclass(frozen=True, eq=False)
class Explained(Shown):
    """The effect of each candidate's chain on the model.

    Attributes:
        candidates: In the order of the config; empty if the model itself cannot be used.
        problems: Each mistake that was found, with its place in the config.
        warnings: Limits of the gate that candidates will miss, by their predicted sizes.
        target: What the models are for, if the config says it.
        space: The space of the search, if there is one; its ends are candidates.
    """

    candidates: tuple[Candidate, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    target: Target | None = None
    space: Space | None = None

    def show_candidates(self, console: Console) -> None:
        """Prints the tables without `messages`."""
        from pipeline.explain import table  # imports TensorFlow, as the class did that it prints

        if self.space is not None:
            console.print(space_table(self.space))
        table.show(console, list(self.candidates))
        if self.target and self.candidates:
            console.print(f"What helps on target: {self.target.kind}")
            console.print(targets_table.advice(self.target))

    def show(self, console: Console) -> None:
        self.show_candidates(console)
        for text in self.messages():
            console.print(text, markup=False, soft_wrap=True)

    def messages(self) -> list[str]:
        """Problems that are not refusals of steps, which the tables show, and warnings."""
        return [
            *(
                str(problem)
                for problem in self.problems
                if not (self.candidates and problem.location[:1] == ("candidates",))
            ),
            *(f"warning: {warning}" for warning in self.warnings),
        ]

    def to_json(self) -> dict[str, Any]:
        """Predictions and problems as JSON values."""
        from pipeline.explain import explanation

        rows = {candidate.name: explanation.to_json(candidate) for candidate in self.candidates}
        return {
            "candidates": rows,
            "problems": [problem.to_json() for problem in self.problems],
            "warnings": [warning.to_json() for warning in self.warnings],
        }


def explain(file: ConfigFile, strict: bool = False) -> Explained:
    """Finds out what each step will do to each layer, and predicts file sizes: `paredown explain`.

    Builds the models without training them, and writes nothing. Imports TensorFlow.

    Args:
        file: The config.
        strict: Whether warnings are problems.
    """
    space = file.config.search.space if file.config.search else None
    file = dataclasses.replace(file, config=file.config.with_ends())
    environment.prepare_for(file)
    with log_file.quiet("Importing TensorFlow, building the models …"), collector.looking_seldom():
        with collector.importing():
            from pipeline.checks import preflight
        found = preflight.explain(file, make_plan(file.config, file.path))
    problems = tuple(found.refused(strict))
    target = file.config.target_kind if "target" in file.config.model_fields_set else None
    return Explained(
        tuple(found.candidates), problems, () if strict else tuple(found.warnings), target, space
    )
