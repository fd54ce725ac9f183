"""The `target` key of a config. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Tag

from components.common.base.near_names import nearest
from components.evaluator.params import DeviceOf, Gate, JudgedGate
from components.selector.params import SelectOptions
from components.targets.mobile.params import MobileOptions
from components.targets.registry import TARGETS, target_of
from components.targets.server.params import ServingOptions
from components.targets.target import TargetOptions
from pipeline.base.texts import count_text
from pipeline.config.refused import refused

_KINDS = list(TARGETS)
DEFAULT = MobileOptions()


def as_mapping(value: Any) -> Any:
    """`target: microcontroller` means `target: {kind: microcontroller}`."""
    if isinstance(value, str):
        return {"kind": _known(value)}
    if not isinstance(value, dict):
        raise ValueError(
            f"must be one of {', '.join(_KINDS)}, or a mapping with kind: and options, e.g. "
            "{kind: microcontroller, ram: 256 kB}"
        )
    if "kind" not in value:
        raise ValueError(f"does not say which kind of target it is; write kind: one of {', '.join(_KINDS)}")
    _known(value["kind"], "kind")
    return value


def _known(kind: Any, *within: str) -> Any:
    if kind not in TARGETS:
        meant = nearest(kind, _KINDS) if isinstance(kind, str) else ""
        raise refused(f"{kind!r} is not one of {', '.join(_KINDS)}{meant}", *within)
    return kind


def arm(value: Any) -> str:
    """The tag of the kind that a value is of."""
    return f"arm:{value['kind'] if isinstance(value, dict) else value.kind}"


# One arm for each kind: a mistake in one would otherwise be reported for all.
_ARMS: Any = functools.reduce(
    operator.or_, (Annotated[target.options, Tag(f"arm:{kind}")] for kind, target in TARGETS.items())
)
# What may be written: a kind that has no options is written by its name.
_WRITTEN: Any = functools.reduce(
    operator.or_,
    (
        Literal[tuple(_KINDS)],
        *(target.options for target in TARGETS.values() if len(target.options.model_fields) > 1),
    ),
)
TargetSection = Annotated[
    Annotated[_ARMS, Discriminator(arm)], BeforeValidator(as_mapping, json_schema_input_type=_WRITTEN)
]


def gate_on(gate: Gate, target: TargetOptions) -> Gate:
    """The gate with the target's default limits."""
    most: dict[DeviceOf, float] = {}
    for figure, option in target_of(target).limits.items():
        limit = getattr(target, option)
        if limit is not None and (figure == "memory" or figure == "flash"):
            most[figure] = limit
    completed = gate.within(most)
    return JudgedGate.of(completed, target.npu_options) if target.npu_options else completed


def refuse_unmeasured(gate: Gate, select: SelectOptions, target: TargetOptions) -> None:
    """Raises an error if the gate limits what the target does not measure, or that is what a winner is best at."""
    limited = {
        "memory": gate.memory.bounds(),
        "flash": gate.flash.bounds(),
        "same_prediction": gate.same_prediction.bounds(),
        "brotli_size": gate.brotli_size.bounds(),
        "throughput": gate.throughput.bounds(),
        "p99": gate.p99.bounds(),
    }
    for figure, bounds in limited.items():
        if bounds and figure not in target_of(target).figures:
            measuring = [kind for kind, other in TARGETS.items() if figure in other.figures]
            raise refused(
                f"is not measured for target: {target.kind}; write target: {' or '.join(measuring)}, or remove "
                f"gate.{figure}",
                "gate",
                figure,
            )
    threads = target_of(target).threads
    if threads is not None and gate.latency.threads != threads:
        raise refused(
            f"is {gate.latency.threads}, and target: {target.kind} is measured on {count_text(threads, 'thread')}; "
            "remove it",
            "gate",
            "latency",
            "threads",
        )
    if (
        select.minimize in ("memory", "flash", "brotli_size")
        and select.minimize not in target_of(target).figures
    ):
        raise refused(
            f"{select.minimize} is not measured for target: {target.kind}; write size, gzip_size or latency",
            "select",
            "minimize",
        )


def refuse_unnamed(serving: ServingOptions, directory: str) -> None:
    """Raises an error if a served model has no name, and its folder's is not one that servers and clusters take."""
    name = os.path.basename(os.path.abspath(directory))
    try:
        ServingOptions(name=serving.name or name)
    except ValueError:
        raise refused(
            f"has no name, and {name!r}, the name of push.directory, is not one on Kubernetes; write name: with "
            "letters a to z, digits and '-'",
            "push",
            "serving",
        ) from None


def refuse_unpushed(push: Mapping[str, Any], target: TargetOptions) -> None:
    """Raises an error if `push` asks for what belongs to another target.

    Args:
        push: The options that are set.
        target: The config's.
    """
    for kind, other in TARGETS.items():
        for option in other.pushes:
            if push.get(option) and option not in target_of(target).pushes:
                raise refused(
                    f"is for target: {kind}, and the target is {target.kind}; write target: {kind}, or remove it",
                    "push",
                    option,
                )
