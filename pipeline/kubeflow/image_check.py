"""Whether an image can run a compiled pipeline: looked up in the image itself, before any task starts.

A task that cannot import its executor fails minutes after it was scheduled, when its node has pulled the
image; and one whose image has other code than the pipeline was compiled with is refused by
`pipeline.kubeflow.entrypoint`.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.common.base.errors import ParedownError
from pipeline import environment
from pipeline.kubeflow.entrypoint import InvalidTask, refuse_other_code

_EXECUTOR = "--executor_class_path"
_MODULE_ROOT = "--module_root"
_MODULE = "model_module"


class SpecError(ParedownError):
    """A file that is no compiled pipeline; the message says what it is instead."""


@dataclass(frozen=True)
class Task:
    """What a task needs of its image.

    Attributes:
        name: Its name.
        command: Module that its container runs.
        executor: Path of its executor's class.
        parameters: Those of its parameters that the pipeline holds.
        module_root: Folder of the user's module, below the image's working directory.
    """

    name: str
    command: str
    executor: str
    parameters: dict[str, Any]
    module_root: str | None

    def model_module(self) -> str | None:
        """The user's module, where the task needs one."""
        ours = json.loads(self.parameters.get("custom_config") or "null") or {}
        return self.parameters.get(_MODULE) or ours.get(_MODULE)


@dataclass(frozen=True)
class Fault:
    """Something that a pipeline needs and the image lacks.

    Attributes:
        what: Path of the class, or name of the module.
        why: The reason, in one line.
        tasks: Names of the tasks that need it.
    """

    what: str
    why: str
    tasks: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.tasks) - 1} more" if len(self.tasks) > 1 else ""
        return f"{self.what}: {self.why} (task {self.tasks[0]}{more})"


def read_tasks(path: Path) -> list[Task]:
    """Reads a compiled pipeline: YAML for Kubeflow Pipelines, or JSON for Vertex AI.

    Raises:
        SpecError: Where it cannot be read, or is none.
    """
    try:
        # JSON is YAML; of several documents the first is the pipeline.
        whole = next(iter(yaml.safe_load_all(path.read_text(encoding="utf-8"))), None)
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is neither YAML nor JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(whole, dict):
        raise SpecError(f"{path} is no compiled pipeline; write the file that `paredown compile` wrote")
    spec = whole.get("pipelineSpec", whole)
    try:
        return [_task(name, task, spec) for name, task in sorted(spec["root"]["dag"]["tasks"].items())]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpecError(
            f"{path} is no pipeline that `paredown compile` wrote ({type(error).__name__}: {error})"
        ) from error


def _task(name: str, task: dict[str, Any], spec: dict[str, Any]) -> Task:
    component = spec["components"][task["componentRef"]["name"]]
    container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    arguments = container["args"]
    return Task(
        name=name,
        command=container["command"][container["command"].index("-m") + 1],
        executor=arguments[arguments.index(_EXECUTOR) + 1],
        parameters=_constants(task),
        module_root=arguments[arguments.index(_MODULE_ROOT) + 1] if _MODULE_ROOT in arguments else None,
    )


def _constants(task: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, source in task.get("inputs", {}).get("parameters", {}).items():
        value = source.get("runtimeValue", {})
        if "constant" in value:
            found[key] = value["constant"]
        elif "constantValue" in value:  # schema 2.0, which writes integers as text
            ((kind, plain),) = value["constantValue"].items()
            found[key] = int(plain) if kind == "intValue" else plain
    return found


def find_faults(tasks: list[Task]) -> list[Fault]:
    """Looks up everything that tasks need of their image; imports TensorFlow and TFX.

    Args:
        tasks: Of a compiled pipeline.

    Returns:
        A fault for each class, module or version of code that is missing here.
    """
    environment.prepare()
    for root in {task.module_root for task in tasks if task.module_root}:
        sys.path.insert(0, str(Path(root).absolute()))
    # A task's `python -m` looks into its working directory too.
    sys.path.append(str(Path.cwd()))
    reasons: dict[tuple[str, str], list[str]] = {}
    known: dict[str, str | None] = {}
    for task in tasks:
        for what, why in _faults_of(task, known):
            reasons.setdefault((what, why), []).append(task.name)
    return [Fault(what, why, tuple(names)) for (what, why), names in reasons.items()]


def _faults_of(task: Task, known: dict[str, str | None]) -> Iterator[tuple[str, str]]:
    module = task.model_module()
    for path, is_class in ((task.command, False), (task.executor, True), (module, False)):
        if path is None:
            continue
        if path not in known:
            known[path] = why_not(path, is_class)
        why = known[path]
        if why is not None:
            yield path, why
    if known[task.executor] is None:
        try:
            refuse_other_code(task.executor, task.parameters)
        except InvalidTask as error:
            yield task.executor, str(error)


def why_not(path: str, is_class: bool = True) -> str | None:
    """Why a class or a module cannot be imported; None where it can.

    Args:
        path: Dotted path.
        is_class: Whether it ends in the name of a class.
    """
    module, _, name = path.rpartition(".") if is_class else (path, "", "")
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # a module may raise anything, and all of it has to be told
        return f"cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}"
    if is_class and not isinstance(getattr(imported, name, None), type):
        return f"cannot be imported: {module} has no class {name}"
    return None
