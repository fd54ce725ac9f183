"""What `paredown compile` does: checks, compiles, writes the file, says what is in it.

Nothing here imports TensorFlow or TFX before the config is known to be right.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.config_file import ConfigFile
from pipeline.config.kubeflow_options import Target
from pipeline.config.problem import Problem
from pipeline.kubeflow.checks import CompileError as CompileError
from pipeline.plan.plan import Plan, make_plan

if TYPE_CHECKING:
    from pipeline.kubeflow.runner import Compiled

_EXTENSION = {"kubeflow": ".yaml", "vertex": ".json"}


def problems_of(
    whole: ConfigFile, target: Target, image: str, pipeline_root: str, output: str
) -> list[Problem]:
    """What is wrong, found without TFX.

    Args:
        whole: The config with all of its candidates, whichever will be compiled.
        target: What to compile for.
        image: Container image of the tasks.
        pipeline_root: URI of the folder of artifacts.
        output: File to write, or `-`.
    """
    from pipeline.kubeflow import checks as kubeflow_checks

    plan = make_plan(whole.config, whole.path)
    return [
        *kubeflow_checks.check(whole, plan, target, image, pipeline_root),
        *kubeflow_checks.check_output(target, output),
    ]


def default_output(name: str, target: Target) -> str:
    """The file that is written where none is named, in the working directory."""
    return name + _EXTENSION[target]


def compile_config(
    file: ConfigFile, plan: Plan, target: Target, image: str, pipeline_root: str
) -> Compiled:
    """Compiles a config that `problems_of` finds nothing wrong with; imports TFX.

    Raises:
        CompileError: Where TFX cannot write a node as a task.
    """
    from pipeline import environment
    from pipeline.base import log_file
    from pipeline.base.console import make_console
    from pipeline.kubeflow import checks as kubeflow_checks
    from pipeline.kubeflow import parameters as kubeflow_parameters

    environment.prepare()
    fingerprint = kubeflow_parameters.fingerprint(file.config)
    with (
        tempfile.TemporaryDirectory(prefix="paredown-") as folder,
        log_file.output_to(Path(folder) / "imports.log") as (_, err),
        make_console(err).status("Importing TFX …"),
    ):
        from pipeline.kubeflow import runner as kubeflow_runner

        return kubeflow_runner.compile_plan(
            plan,
            file.config,
            target,
            image,
            pipeline_root,
            kubeflow_parameters.run_parameters(plan, file.config, fingerprint),
            kubeflow_checks.image_module_root(file.config, file.path),
        )


def write(text: str, path: Path) -> None:
    """Writes a file whole or not at all.

    Raises:
        OSError: Where that does not work; the file is then as it was.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def summary(compiled: Compiled, output: str) -> dict[str, Any]:
    """What was compiled, as JSON values."""
    from pipeline.kubeflow import runner as kubeflow_runner

    tasks = compiled.spec["root"]["dag"]["tasks"]
    return {
        "file": output,
        "target": compiled.target,
        "schema": compiled.spec["schemaVersion"],
        "tasks": sorted(tasks),
        "width": kubeflow_runner.width(compiled.spec),
        "parameters": {parameter.name: parameter.default for parameter in compiled.parameters},
    }


def notes(file: ConfigFile) -> list[str]:
    """What of the config is for runs on this machine alone."""
    run = file.config.run
    told = []
    if run.metadata:
        told.append(
            f"run.metadata ({run.metadata}) is for runs here; the cluster keeps metadata in its own store"
        )
    if run.pipeline_root:
        told.append(
            f"run.pipeline_root ({run.pipeline_root}) is for runs here; --pipeline-root takes its place"
        )
    return told
