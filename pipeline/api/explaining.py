"""What each step will do to each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pipeline import environment
from pipeline.base import log_file
from pipeline.base.shown import Shown
from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import Problem
from pipeline.plan.plan import make_plan

if TYPE_CHECKING:
    from pipeline.explain.explanation import Candidate


@dataclass(frozen=True, eq=False)
class Explained(Shown):
    """What becomes of the model on each candidate's chain.

    Attributes:
        candidates: In the order of the config; empty if the model itself cannot be used.
        problems: Each mistake that was found, with its place in the config.
    """

    candidates: tuple[Candidate, ...]
    problems: tuple[Problem, ...]

    def show_candidates(self, console: Console) -> None:
        """Prints the tables without `other_problems`."""
        from pipeline.explain import table  # imports TensorFlow, as the class did that it prints

        table.show(console, list(self.candidates))

    def show(self, console: Console) -> None:
        self.show_candidates(console)
        for problem in self.other_problems():
            console.print(str(problem), markup=False, soft_wrap=True)

    def other_problems(self) -> list[Problem]:
        """The problems that are not refusals of steps, which the tables show."""
        return [
            problem
            for problem in self.problems
            if not (self.candidates and problem.location[:1] == ("candidates",))
        ]

    def to_json(self) -> dict[str, Any]:
        """Predictions and problems as JSON values."""
        from pipeline.explain import explanation

        rows = {candidate.name: explanation.to_json(candidate) for candidate in self.candidates}
        return {"candidates": rows, "problems": [problem.to_json() for problem in self.problems]}


def explain(file: ConfigFile) -> Explained:
    """Finds out what each step will do to each layer, and predicts file sizes: `paredown explain`.

    Builds the models without training them, and writes nothing. Imports TensorFlow.

    Args:
        file: The config.
    """
    environment.prepare_for(file)
    with log_file.quiet("Importing TensorFlow, building the models …"):
        from pipeline.checks import preflight

        candidates, problems = preflight.explain(file, make_plan(file.config, file.path))
    return Explained(tuple(candidates), tuple(problems))
