"""Reading a config for a command: checked, with its mistakes printed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.refusal import refuse

if TYPE_CHECKING:
    from pipeline.config.config_file import ConfigFile


def load_checked(
    path: Path, overrides: tuple[str, ...], only: tuple[str, ...], as_json: bool
) -> ConfigFile:
    """Reads a config and checks all that can be checked without TensorFlow; ends the program if wrong.

    Args:
        path: The file.
        overrides: `--set`s.
        only: Candidates to keep; all where it is empty.
        as_json: Whether mistakes are printed for scripts.
    """
    from components.common.base.near_names import nearest
    from pipeline.checks import config_checks as checks
    from pipeline.config.config_file import load
    from pipeline.config.problem import ConfigError, Problem

    try:
        file = load(path, list(overrides))
        unknown = [name for name in only if name not in file.config.candidates]
        if unknown:
            known = list(file.config.candidates)
            raise ConfigError(
                [
                    Problem(
                        f"no candidate {name!r}{nearest(name, known)}; there are {', '.join(known)}",
                        (),
                        "--only",
                    )
                    for name in unknown
                ]
            )
        problems = checks.check(file)
        if not problems and file.config.kubeflow.nodes:
            from pipeline.kubeflow.checks import unknown_nodes
            from pipeline.plan.plan import make_plan

            unmatched = unknown_nodes(file.config, make_plan(file.config, file.path))
            problems = [file.problem(*mistake) for mistake in unmatched]
        if problems:
            raise ConfigError(problems)
    except ConfigError as error:
        refuse(error.problems, as_json)
    if only:
        file = dataclasses.replace(file, config=file.config.only(list(only)))
    return file
