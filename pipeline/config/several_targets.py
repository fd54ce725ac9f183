"""A config that names several targets, as one config for each. Imports neither TensorFlow nor TFX.

Each is run like any other config. They have the pipeline's name and root in common, so that models are trained once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from components.common.base.errors import ParedownError
from components.common.base.step_options import StepOptions
from components.evaluator.params import Gate
from components.selector.params import SelectOptions
from components.targets.registry import TARGETS, target_of
from components.targets.target import DeviceFigure, Target
from components.tflite_converter.params import ConvertOptions
from pipeline.config import target_entry
from pipeline.config.config import Config
from pipeline.config.problem import Location, Problem

_FIGURES: tuple[DeviceFigure, ...] = get_args(DeviceFigure)


class SeveralTargetsError(ParedownError):
    """A config names several targets, and something takes one."""


def refuse(config: Config) -> None:
    """Raises a SeveralTargetsError if a config names several targets."""
    if config.targets:
        kind = config.targets[0].kind
        raise SeveralTargetsError(
            f"{config.name} names several targets, and this takes one; write --set target={kind}"
        )


@dataclass(frozen=True)
class OnTarget:
    """A config for one of several targets.

    Attributes:
        config: With the limits that the target measures, the candidates that it can run, and a push folder of its own.
        left_out: Candidate that it cannot run → why.
        places: Where it has something → where the file has it.
    """

    config: Config
    left_out: dict[str, str] = field(default_factory=dict)
    places: dict[Location, Location] = field(default_factory=dict)


def each(config: Config) -> dict[str, OnTarget]:
    """Kind → the config for it, in the order of `targets`; none if the config does not name several."""
    return {entry.kind: on(config, entry, index) for index, entry in enumerate(config.targets)}


def on(config: Config, entry: Any, index: int) -> OnTarget:
    """A config for one of its targets: an entry of `targets`, and its place among them."""
    target = target_entry.target(entry)
    kind = target_of(target)
    left_out = {
        name: why
        for name, chain in config.candidates.items()
        if (why := cannot_run(kind, chain.steps()[-1]))
    }
    unpushed = {
        option: type(config.push).model_fields[option].default
        for other in TARGETS.values()
        for option in other.pushes
        if option not in kind.pushes
    }
    directory = os.path.join(config.push.directory, target.kind)
    kubeflow = config.kubeflow
    if kubeflow.push_directory is not None:
        pushed = f"{kubeflow.push_directory.rstrip('/')}/{target.kind}"
        kubeflow = kubeflow.model_copy(update={"push_directory": pushed})
    changes: dict[str, Any] = {
        "target": target,
        "targets": [],
        "gate": _measured(target_entry.gate(entry, config.gate), kind),
        "select": _selected(target_entry.select(entry, config.select), kind),
        "candidates": {name: chain for name, chain in config.candidates.items() if name not in left_out},
        "push": config.push.model_copy(update={**unpushed, "directory": directory}),
        "kubeflow": kubeflow,
    }
    return OnTarget(config.model_copy(update=changes), left_out, target_entry.places(entry, index))


def cannot_run(target: Target, step: StepOptions) -> str:
    """Why a target does not load the files of a conversion, with what to write; empty if it does."""
    options = step.model_dump(mode="json")
    found = next((one.why for one in target.unsupported if one.found_in(options)), "")
    if not found and isinstance(step, ConvertOptions) and step.pack is not None and not target.packs:
        kinds = " or ".join(kind for kind, other in TARGETS.items() if other.packs)
        return f"packed files run on target: {kinds}"
    return found


def _measured(gate: Gate, target: Target) -> Gate:
    """The gate without limits on what a target does not measure."""
    unmeasured = [figure for figure in _FIGURES if figure not in target.figures]
    changes: dict[str, Any] = {figure: type(gate).model_fields[figure].default for figure in unmeasured}
    if target.threads is not None:
        changes["latency"] = gate.latency.model_copy(update={"threads": target.threads})
    return gate.model_copy(update=changes)


def _selected(select: SelectOptions, target: Target) -> SelectOptions:
    """What the winner is best at; the bytes of the file, if the target does not measure it."""
    if select.minimize in _FIGURES and select.minimize not in target.figures:
        return SelectOptions(minimize="size")
    return select


def problems(config: Config) -> list[Problem]:
    """A problem if several targets do not go together, or for each thing that belongs to none of them."""
    kinds = [target.kind for target in config.targets]
    if not kinds:
        return []
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice:
        return [Problem(f"{twice} is named twice; name each kind once", ("targets",))]
    if "target" in config.model_fields_set:
        return [Problem("cannot be combined with targets; remove it, or add it to targets", ("target",))]
    if config.search is not None:
        why = "cannot be combined with targets; write target:, and search for each alone"
        return [Problem(why, ("search",))]
    own = [target_entry.problem(entry, index, config.gate) for index, entry in enumerate(config.targets)]
    if any(own):
        return [problem for problem in own if problem]
    found = [
        Problem(f"{why}, and targets are {', '.join(kinds)}; add one, or remove this", section)
        for section, why in _of_none(config)
    ]
    for kind, view in each(config).items():
        if not view.config.candidates:
            name, why = next(iter(view.left_out.items()))
            text = f"{kind} cannot run any candidate ({name}: {why}); add one, or remove {kind}"
            found.append(Problem(text, ("targets",)))
    return found


def _of_none(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Section that no target has → which kinds have it."""
    asked = config.push.model_dump()
    ours = [target_of(target) for target in config.targets]
    limited = [figure for figure in _FIGURES if getattr(config.gate, figure).bounds()]
    for figure in limited:
        if not any(figure in target.figures for target in ours):
            measuring = " or ".join(kind for kind, other in TARGETS.items() if figure in other.figures)
            yield ("gate", figure), f"is measured for target: {measuring}"
    wanted = config.select.minimize
    choosing = [target_of(target) for target in config.targets if target.select is None]
    if wanted in _FIGURES and choosing and not any(wanted in target.figures for target in choosing):
        yield ("select", "minimize"), f"{wanted} is measured for none of them"
    for kind, other in TARGETS.items():
        for option in other.pushes:
            if asked.get(option) and not any(option in target.pushes for target in ours):
                yield ("push", option), f"is for target: {kind}"
