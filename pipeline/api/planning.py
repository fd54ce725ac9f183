"""The plan of a run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from pipeline.base.shown import Shown
from pipeline.checks.checked_config import unknown_candidates
from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import ConfigError
from pipeline.plan import data_files, remembered_versions
from pipeline.plan.code_version import ROOT
from pipeline.plan.plan import Plan
from pipeline.plan.planner import make_plan
from pipeline.plan.table import plan_json, plan_summary, plan_table
from pipeline.run.cache import cached_ids
from pipeline.run.remembered_hashes import remembered


@dataclass(frozen=True, eq=False)
class Planned(Shown):
    """A plan, and what of it is done.

    Attributes:
        file: The config.
        plan: Its nodes are `plan.nodes`.
        cached: Ids of the nodes that would not run.
    """

    file: ConfigFile
    plan: Plan
    cached: frozenset[str]

    @property
    def summary(self) -> str:
        """The plan in one sentence."""
        return plan_summary(self.plan, set(self.cached))

    def show(self, console: Console) -> None:
        if self.file.config.search is not None:
            from pipeline.search.table import space_table  # with verdicts, which a plan has none of

            console.print(space_table(self.file.config.search.space))
        console.print(plan_table(self.plan, set(self.cached)))
        console.print(self.summary)
        data = self.file.config.data
        span = data_files.chosen_span(data)
        if span is not None:
            patterns = ", ".join(data_files.patterns(data).values())
            console.print(f"Data: {span}: {patterns}", markup=False, highlight=False, soft_wrap=True)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        config = self.file.config
        planned = plan_json(self.plan, set(self.cached), data_files.choice(config.data))
        searched = config.search.model_dump(mode="json") if config.search else None
        return {
            "target": config.target.model_dump(mode="json"),
            **planned,
            **({"search": searched} if searched else {}),
        }


def plan(file: ConfigFile, remeasure: Sequence[str] = (), afresh: bool = False) -> Planned:
    """Finds out what a run would do and what is cached: `paredown plan`.

    Args:
        file: The config.
        remeasure: Candidates to measure again even if their measurement is cached.
        afresh: Whether to read the code again, as a run does, even if it is as an earlier command found it.

    Raises:
        ConfigError: If `remeasure` names a candidate that does not exist.
    """
    if not file.config.candidates:
        # The ends of a space show what all trials share, and how long their chains are.
        file = dataclasses.replace(file, config=file.config.with_ends())
    problems = unknown_candidates(file.config, list(remeasure), "--remeasure")
    if problems:
        raise ConfigError(problems)
    with contextlib.nullcontext() if afresh else remembered_versions.remembered(ROOT):
        made = make_plan(file.config, file.path).remeasured(list(remeasure))
    with remembered(os.path.abspath(file.config.pipeline_root)) as hashes:
        return Planned(file, made, frozenset(cached_ids(file, made, hashes)))
