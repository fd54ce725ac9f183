"""The work of `paredown compile`: checks, compiles, writes the file, describes it.

Imports TFX only after the config is known to be right.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.base import whole_file
from pipeline import environment
from pipeline.base.log_file import quiet
from pipeline.checks.checked_config import load_checked, refuse_without_candidates
from pipeline.config.config_file import ConfigFile
from pipeline.config.kubeflow_options import Target
from pipeline.config.problem import InvalidInput, Problem, about
from pipeline.kubeflow import checks, fingerprint
from pipeline.kubeflow.checks import CompileError as CompileError
from pipeline.kubeflow.compiled import Compiled
from pipeline.kubeflow.module_folder import image_module_root
from pipeline.kubeflow.parameters import run_parameters
from pipeline.kubeflow.spec import Spec
from pipeline.plan.plan import Plan
from pipeline.plan.planner import make_plan

_EXTENSION = {"kubeflow": ".yaml", "vertex": ".json"}


@dataclass(frozen=True)
class Written:
    """A compiled pipeline and the file for it.

    Attributes:
        file: The config, of one target.
        compiled: The pipeline.
        output: Path of its file; - prints it.
    """

    file: ConfigFile
    compiled: Compiled
    output: str


def compile_each(
    path: Path,
    overrides: Sequence[str],
    only: Sequence[str],
    target: Target,
    image: str,
    pipeline_root: str,
    output: str | None = None,
) -> dict[str, Written]:
    """Checks and compiles a config, for each of its targets; imports TFX once nothing is wrong with it.

    Args:
        path: The config.
        overrides: Its `--set`s.
        only: Candidates to compile; all of them if it is empty.
        target: What to compile for.
        image: Container image of the tasks.
        pipeline_root: URI of the folder of artifacts.
        output: File to write; of several targets, each has one that is also named after the kind. Default: named after
            the pipeline.

    Returns:
        Kind → the pipeline, if the config names several targets; else only one, of an empty name. Pipelines of several
        targets have the same name, by which KFP's cache finds what they have in common.

    Raises:
        InvalidInput: If something is wrong with the config or the options, or if TFX cannot write a node as a
            task.
    """
    file = load_checked(path, overrides, only)
    refuse_without_candidates(file)
    whole = load_checked(path, overrides) if only else file
    views = file.each_target() or {"": file}
    outputs = {kind: _output_of(file, target, output, kind) for kind in views}
    # Problems that several targets share occur for each of them.
    problems = [
        problem
        for kind, view in (whole.each_target() or {"": whole}).items()
        for problem in problems_of(
            view, target, image, pipeline_root, outputs.get(kind) if output else None
        )
    ]
    if problems:
        raise InvalidInput(list(dict.fromkeys(problems)))
    with about(path):
        return {
            kind: Written(
                view,
                compile_config(view, make_plan(view.config, view.path), target, image, pipeline_root),
                outputs[kind],
            )
            for kind, view in views.items()
        }


def _output_of(file: ConfigFile, target: Target, output: str | None, kind: str) -> str:
    output = output or default_output(file.config.name, target)
    if not kind:
        return output
    if output == "-":
        why = f"prints one pipeline, and {file.config.name} names several targets"
        why += f"; name a file, or write --set target={kind}"
        raise InvalidInput([Problem(why, file="-o -")])
    stem, extension = os.path.splitext(output)
    return f"{stem}-{kind}{extension}"


def problems_of(
    whole: ConfigFile, target: Target, image: str, pipeline_root: str, output: str | None = None
) -> list[Problem]:
    """Problems that are found without TFX.

    Args:
        whole: The config with all of its candidates, whichever will be compiled.
        target: What to compile for.
        image: Container image of the tasks.
        pipeline_root: URI of the folder of artifacts.
        output: File to write, if one will be.
    """
    plan = make_plan(whole.config, whole.path)
    return [
        *checks.check(whole, plan, target, image, pipeline_root),
        *(checks.check_output(target, output) if output else []),
    ]


def default_output(name: str, target: Target) -> str:
    """The file to write in the working directory if none is named."""
    return name + _EXTENSION[target]


def compile_config(
    file: ConfigFile, plan: Plan, target: Target, image: str, pipeline_root: str
) -> Compiled:
    """Compiles a config that `problems_of` finds no problem in; imports TFX.

    Raises:
        CompileError: If TFX cannot write a node as a task.
    """
    environment.prepare()
    parameters = run_parameters(plan, file.config, fingerprint.of_config(file.config))
    with quiet("Importing TFX …"):
        from pipeline.kubeflow import runner

        module_root = image_module_root(file.config, file.path)
        return runner.compile_plan(plan, file.config, target, image, pipeline_root, parameters, module_root)


def write(text: str, output: str | Path) -> None:
    """Writes a file whole or not at all.

    Raises:
        InvalidInput: If it cannot be written; the file is then as it was.
    """
    try:
        with whole_file.writing(output) as file:
            file.write(text)
    except OSError as error:
        raise InvalidInput(
            [Problem(f"cannot be written: {error.strerror}", file=f"-o {output}")]
        ) from error


def summary(compiled: Compiled, output: str) -> dict[str, Any]:
    """The compiled pipeline as JSON values."""
    spec = Spec.model_validate(compiled.spec)
    return {
        "file": output,
        "target": compiled.target,
        "schema": spec.schema_version,
        "tasks": sorted(spec.tasks),
        "width": spec.width(),
        "parameters": {parameter.name: parameter.default for parameter in compiled.parameters},
    }


def notes(file: ConfigFile) -> list[str]:
    """Parts of the config that are only for runs on this machine."""
    run = file.config.run
    metadata = f"run.metadata ({run.metadata}) is only for runs on this machine; the cluster has its own metadata store"
    root = f"run.pipeline_root ({run.pipeline_root}) is only for runs on this machine; --pipeline-root replaces it"
    return [*([metadata] if run.metadata else []), *([root] if run.pipeline_root else [])]
