"""The model module: where it is and what it defines. It is parsed, never executed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from components.common.base.near_names import nearest
from pipeline.checks.paths import shown
from pipeline.config.config import Config
from pipeline.config.problem import Location, Problem
from pipeline.plan.model_source import Function, Names, find_module, names_of, takes

_OWN_PACKAGES = ("components", "pipeline")


def functions(config: Config, config_path: Path) -> Iterable[str] | None:
    """Names that the model module defines; None if there is no module, or not all of its names are known."""
    module = config.model.module
    path = find_module(module, config_path) if module else None
    try:
        names = names_of(path) if path else Names(complete=False)
    except (OSError, SyntaxError, ValueError):  # which `check` reports
        return None
    return names.bound if names.complete else None


def check(config: Config, config_path: Path) -> list[Problem]:
    """Problems of the module that a config names, if it names one."""
    name = config.model.module
    if name is None:
        return []
    at: Location = ("model", "module")
    if name.partition(".")[0] in _OWN_PACKAGES:
        message = (
            f"{name!r} would be looked for in Paredown's own package of that name; call the file or folder "
            "something else, e.g. model.py"
        )
        return [Problem(message, at)]
    path = find_module(name, config_path)
    if path is None:
        return [Problem(_no_module(name, config_path), at)]
    try:
        names = names_of(path)
    except OSError as error:
        return [Problem(f"{shown(path)} cannot be read: {error.strerror}", at)]
    except (SyntaxError, ValueError) as error:  # ValueError: the file holds null bytes
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        return [Problem(f"{shown(path)}{line} is not Python: {getattr(error, 'msg', error)}", at)]
    return list(_check_functions(config, names, path))


def _check_functions(config: Config, names: Names, path: Path) -> Iterator[Problem]:
    if _needs_build_model(config, names):
        arguments = ("hparams", "pretrained") if config.model.pretrained else ("hparams",)
        fault = _fault_of("build_model", names, path, arguments)
        if fault:
            yield Problem(fault, ("model", "module"))
    checked = {"build_model"}
    for location, function in _of_steps(config):
        # The same name is the same mistake wherever it is.
        fault = None if function in checked else _fault_of(function, names, path)
        checked.add(function)
        if fault:
            yield Problem(fault, location)


def _needs_build_model(config: Config, names: Names) -> bool:
    """Whether the baseline, or an imported model's loss and optimizer, comes from build_model."""
    imported, pretrained = config.model.imported, config.model.pretrained
    if imported is not None and imported.weights is None and "build_model" not in names.bound:
        return False
    return pretrained is None or pretrained.head is None


def _no_module(name: str, config_path: Path) -> str:
    beside = config_path.absolute().parent
    package = name.split(".")[:-1]
    known = {
        ".".join([*package, path.stem])
        for root in (Path.cwd(), beside)
        for path in root.joinpath(*package).glob("*.py")
    }
    if beside.is_relative_to(Path.cwd()):
        parents = beside.relative_to(Path.cwd()).parts
        known |= {".".join([*parents, path.stem]) for path in beside.glob("*.py")}
    file = f"{name.replace('.', '/')}.py"
    return (
        f"there is no {file} beside the config, in {Path.cwd()} or on sys.path"
        f"{nearest(name, known) or '; write the module as Python imports it'}"
    )


def _of_steps(config: Config) -> Iterator[tuple[Location, str]]:
    """The options of steps that name a function of the module, with its name."""
    for candidate, chain in config.candidates.items():
        for index, step in enumerate(chain.steps()):
            for option, function in step.functions().items():
                yield ("candidates", candidate, index, step.technique, option), function


def _fault_of(
    function: str, names: Names, path: Path, arguments: tuple[str, ...] = ("hparams",)
) -> str | None:
    """Why a function of the module cannot be called with these arguments; None if it can, or is not known."""
    written = f"`def {function}({', '.join(arguments)})`"
    if function not in names.bound:
        if not names.complete:
            return None
        defined = [
            name
            for name, values in names.bound.items()
            if any(isinstance(value, Function) for value in values)
        ]
        fix = nearest(function, defined) or f"; write {written}"
        return f"{shown(path)} has no function {function!r} at its top level{fix}"
    definitions = [node for node in names.bound[function] if isinstance(node, Function)]
    fits = any(takes(definition, len(arguments)) for definition in definitions)
    if len(definitions) < len(names.bound[function]) or fits:
        return None
    given = "hparams alone" if len(arguments) == 1 else " and ".join(arguments)
    return f"{function} in {shown(path)}:{definitions[-1].lineno} cannot be called with {given}; write {written}"
