"""Whether an image can run a compiled pipeline: checked in the image itself, before any task starts.

A task that cannot import its executor fails minutes after it was scheduled, when its node has pulled the image. A task
whose image has other code than the pipeline was compiled with is refused by `pipeline.kubeflow.entrypoint`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.base.errors import ParedownError
from pipeline import environment
from pipeline.kubeflow import package
from pipeline.kubeflow.executor_input import InvalidTask
from pipeline.kubeflow.spec import Container, Task
from pipeline.kubeflow.task_code import refuse_other_code
from pipeline.plan.node_code import custom_config

_MODULE = "model_module"


class SpecError(ParedownError):
    """A file that is not a compiled pipeline; the message says what it is instead."""


@dataclass(frozen=True)
class Needs:
    """Requirements of a task on its image.

    Attributes:
        task: Its name.
        command: Module that its container runs.
        executor: Path of its executor's class.
        parameters: Those of its parameters that the pipeline holds.
        module_root: Folder of the user's module, below the image's working directory.
    """

    task: str
    command: str
    executor: str
    parameters: dict[str, Any]
    module_root: str | None

    @classmethod
    def of(cls, name: str, task: Task, container: Container) -> Needs:
        """Requirements of a compiled task. Raises ValueError if `paredown compile` did not write it."""
        return cls(
            task=name,
            command=_after("-m", container.command),
            executor=_after("--executor_class_path", container.args),
            parameters=task.constants(),
            module_root=_after("--module_root", container.args)
            if "--module_root" in container.args
            else None,
        )

    def model_module(self) -> str | None:
        """The user's module, if the task needs one."""
        return self.parameters.get(_MODULE) or custom_config(self.parameters).get(_MODULE)


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


def read_tasks(path: Path) -> list[Needs]:
    """Reads what the tasks of a compiled pipeline need, for Kubeflow Pipelines or Vertex AI.

    Raises:
        SpecError: If it cannot be read, or is not one.
    """
    try:
        spec = package.read(path.read_text(encoding="utf-8"), vertex=True).spec
        return [Needs.of(name, task, spec.container(task)) for name, task in sorted(spec.tasks.items())]
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is neither YAML nor JSON: {error}") from error
    except package.PackageError as error:
        raise SpecError(f"{path} {error}") from error
    except ValueError as error:
        raise SpecError(f"{path} was not written by `paredown compile`: {error}") from error


def _after(option: str, arguments: tuple[str, ...]) -> str:
    if option not in arguments[:-1]:
        raise ValueError(f"a task has no {option}")
    return arguments[arguments.index(option) + 1]


def find_faults(tasks: list[Needs]) -> list[Fault]:
    """Looks up everything that tasks need of their image; imports TensorFlow and TFX.

    Args:
        tasks: Tasks of a compiled pipeline.

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
            reasons.setdefault((what, why), []).append(task.task)
    return [Fault(what, why, tuple(names)) for (what, why), names in reasons.items()]


def _faults_of(task: Needs, known: dict[str, str | None]) -> Iterator[tuple[str, str]]:
    for path, is_class in ((task.command, False), (task.executor, True), (task.model_module(), False)):
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
    """Why a class or a module cannot be imported; None if it can.

    Args:
        path: Dotted path.
        is_class: Whether it ends in the name of a class.
    """
    module, _, name = path.rpartition(".") if is_class else (path, "", "")
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # a module may raise anything
        return f"cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}"
    if is_class and not isinstance(getattr(imported, name, None), type):
        return f"cannot be imported: {module} has no class {name}"
    return None
