"""Reading a config and checking everything that can be checked without TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from components.common.base.near_names import nearest
from pipeline.checks import config_checks
from pipeline.checks.cluster_nodes import unknown_nodes
from pipeline.config.config import Config
from pipeline.config.config_file import ConfigFile, load
from pipeline.config.problem import ConfigError, Problem
from pipeline.plan.planner import make_plan


def load_checked(path: Path, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> ConfigFile:
    """Reads a config and checks it.

    Args:
        path: The YAML file.
        overrides: `key=value` texts, as `config_file.load` takes them.
        only: Candidates to keep; all of them if it is empty.

    Raises:
        ConfigError: With one problem for each mistake.
    """
    file = load(path, list(overrides))
    each = file.each_target() or {"": file}
    problems = unknown_candidates(file.config, only, "--only")
    # Problems that several targets share occur for each of them.
    problems = problems or list(dict.fromkeys(one for view in each.values() for one in _problems(view)))
    if not problems and file.config.kubeflow.nodes:
        view = next(iter(each.values()))
        problems = file.located(unknown_nodes(view.config, make_plan(view.config, file.path)))
    if problems:
        raise ConfigError(problems)
    if only:
        file = dataclasses.replace(file, config=file.config.only(list(only)))
    return file


def refuse_without_candidates(file: ConfigFile) -> None:
    """Raises a ConfigError if a config has a search only: its candidates are not known before it."""
    if not file.config.candidates:
        raise ConfigError(
            [
                file.problem(
                    ("search",),
                    "is the only source of candidates, which are not known before the search; use `paredown search` or "
                    "`paredown submit --search`, or write candidates",
                )
            ]
        )


def _problems(file: ConfigFile) -> list[Problem]:
    """The problems of a config; those of the ends of its space are of the space."""
    ends = file.config.search.space.ends() if file.config.search else {}
    found = config_checks.check(dataclasses.replace(file, config=file.config.with_ends()))
    return [
        file.problem(("search", "space"), problem.message)
        if problem.location[:1] == ("candidates",) and problem.location[1] in ends
        else problem
        for problem in found
    ]


def unknown_candidates(config: Config, names: Sequence[str], option: str) -> list[Problem]:
    """A problem for each of an option's values that is not the name of a candidate."""
    known = list(config.candidates) or ["none"]
    return [
        Problem(f"no candidate {name!r}{nearest(name, known)}; there are {', '.join(known)}", file=option)
        for name in names
        if name not in known
    ]
