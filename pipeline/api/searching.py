"""Searching a space of candidates."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline import report
from pipeline.api.running import RunStopped
from pipeline.base.shown import Shown
from pipeline.checks.checked_config import load_checked
from pipeline.config import yaml_tree
from pipeline.config.config_file import ConfigFile
from pipeline.run.session import Stopped
from pipeline.search import budget as budgets
from pipeline.search import rounds, table
from pipeline.search import search as searching
from pipeline.search.here import Here
from pipeline.search.search import Searched
from pipeline.store.search_record import Trial


def load_within(path: str | PathLike[str], budget: str, overrides: Sequence[str] = ()) -> ConfigFile:
    """Reads a config, with the limits of a budget, and with a default space if it has no search.

    Args:
        path: The YAML file.
        budget: Such as `size 60 kB, max_drop 0.005`.
        overrides: `key=value` texts, as `--set` takes them.

    Raises:
        InvalidInput: If the budget or the config is not valid.
    """
    limits = [*overrides, *budgets.overrides_of(budget)]
    if "search" in yaml_tree.read(Path(path)) or any(one.startswith("search") for one in overrides):
        return load_checked(Path(path), limits)
    file = load_checked(Path(path), [*limits, budgets.default_search("mobile")])
    kind = file.config.target.kind
    return file if kind == "mobile" else load_checked(Path(path), [*limits, budgets.default_search(kind)])


def search(
    file: ConfigFile, trials: int | None = None, minutes: float | None = None, strict: bool = False
) -> Searched:
    """Looks through the space of a config and pushes the best candidate: `paredown search`.

    Trials are judged on the tune split, in rounds; the best ones are then trained on the whole train split, judged on
    the eval split, and the best of those is pushed. A search that was stopped continues where it was.

    Args:
        file: A config with a `search` section.
        trials: Number of trials to look at, instead of search.trials.
        minutes: Time after which no round begins, instead of search.minutes.
        strict: Whether to refuse candidates whose predicted size misses a limit, instead of a warning.

    Raises:
        InvalidInput: If the config, the data or the model cannot work.
        AnotherRun: If another run is using the pipeline root.
        RunStopped: If a node fails that all candidates need, or Ctrl-C stops the search.
    """
    rounds.refuse_without_space(file)
    write_page = functools.partial(report.write_run, file.config.metadata_url)
    outcome = searching.search(file, Here(write_page, strict), trials, minutes)
    if isinstance(outcome, Stopped):
        raise RunStopped(outcome)
    return outcome


@dataclass(frozen=True, eq=False)
class Proposed(Shown):
    """The space of a config, and the trials that a search would begin with.

    Attributes:
        file: The config.
        study: Name of the study.
        trials: The first round, if the study is new.
    """

    file: ConfigFile
    study: str
    trials: tuple[Trial, ...]

    def show(self, console: Console) -> None:
        space = rounds.searched(self.file.config).space
        console.print(table.space_table(space))
        console.print(table.trials_table(self.trials, space, f"First round of {self.study}"))

    def to_json(self) -> dict[str, Any]:
        """The space and the trials as JSON values."""
        space = rounds.searched(self.file.config).space
        return {
            "study": self.study,
            "space": space.model_dump(mode="json"),
            "trials": [{"number": t.number, "steps": space.steps(t.values)} for t in self.trials],
        }


def propose(file: ConfigFile) -> Proposed:
    """The space of a config and the first round of a new search: `paredown search --dry-run`. Writes nothing.

    Raises:
        ConfigError: If the config has no search.
    """
    rounds.refuse_without_space(file)
    return Proposed(file, rounds.study_name(file), tuple(rounds.first_trials(file)))
