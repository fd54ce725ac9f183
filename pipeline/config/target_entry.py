"""An entry of `targets`: a target, with limits and a selection of its own. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationError, create_model
from pydantic_core import PydanticCustomError

from components.common.base.options import Options, is_none
from components.evaluator.params import Gate
from components.selector.params import SelectOptions
from components.targets.registry import TARGETS, target_of
from components.targets.target import TargetOptions
from pipeline.config import target_section
from pipeline.config.problem import Location, Problem

_HINTS = get_type_hints(Gate, include_extras=True)
# Every section of the gate, none of them required. One that is left out is None, and has no other meaning.
_SECTIONS: Any = {
    name: (
        _HINTS[name],
        Field(default=None, exclude_if=is_none, description=f"As gate.{name}, for this target."),
    )
    for name in Gate.model_fields
}
OwnGate: Any = create_model(
    "OwnGate",
    __base__=Options,
    __doc__="Limits of one of several targets. Each section replaces the one of the config's gate.",
    **_SECTIONS,
)


class Own(Options):
    """What an entry of `targets` says besides the options of the target."""

    gate: OwnGate = Field(
        default=None,  # type: ignore[assignment]  # if it is left out
        exclude_if=is_none,
        description="Limits for this target: each section replaces the config's, e.g. {latency: {max_ratio: 0.5}}.",
    )
    select: SelectOptions = Field(
        default=None,  # type: ignore[assignment]  # if it is left out
        exclude_if=is_none,
        description="How the winner on this target is chosen. Default: as select says.",
    )


def _with_own(options: type[TargetOptions]) -> Any:
    return create_model(
        f"{options.__name__}OfSeveral",
        __base__=(Own, options),
        __doc__=options.__doc__,
        __module__=__name__,
    )


_MODELS = {kind: _with_own(target.options) for kind, target in TARGETS.items()}
# As those of target_section.
_ARMS: Any = functools.reduce(
    operator.or_, (Annotated[model, Tag(f"arm:{kind}")] for kind, model in _MODELS.items())
)
_WRITTEN: Any = functools.reduce(operator.or_, (Literal[tuple(TARGETS)], *_MODELS.values()))
TargetEntry = Annotated[
    Annotated[_ARMS, Discriminator(target_section.arm)],
    BeforeValidator(target_section.as_mapping, json_schema_input_type=_WRITTEN),
]


def target(entry: Any) -> TargetOptions:
    """The options of the target alone."""
    options = target_of(entry).options
    written = entry.model_fields_set & set(options.model_fields)
    return options.model_construct(written, **{name: getattr(entry, name) for name in options.model_fields})


def gate(entry: Any, shared: Gate) -> Gate:
    """The gate of an entry.

    Args:
        entry: Of `targets`.
        shared: The config's gate, whose sections it replaces.
    """
    own = _sections(entry)
    return Gate.model_validate({**_written(shared), **own}) if own else shared


def select(entry: Any, shared: SelectOptions) -> SelectOptions:
    """How an entry chooses the winner; as the config does if it does not say."""
    return shared if entry.select is None else entry.select


def places(entry: Any, index: int) -> dict[Location, Location]:
    """Where a config for the target has something → where the file has it.

    Args:
        entry: Of `targets`.
        index: Its place among them.
    """
    own: Location = ("targets", index)
    found: dict[Location, Location] = {
        ("gate", section): (*own, "gate", section) for section in _sections(entry)
    }
    return found if entry.select is None else {**found, ("select",): (*own, "select")}


def problem(entry: Any, index: int, shared: Gate) -> Problem | None:
    """The first problem of an entry's own limits and selection: with its target, or beside the config's limits.

    Args:
        entry: Of `targets`.
        index: Its place among them.
        shared: The config's gate.
    """
    own: Location = ("targets", index)
    alone = Gate.model_construct(set(_sections(entry)), **_sections(entry))
    chosen = SelectOptions(minimize="size") if entry.select is None else entry.select
    try:
        target_section.refuse_unmeasured(alone, chosen, target(entry))
        gate(entry, shared)
    except PydanticCustomError as error:
        said = error.context or {}
        return Problem(said["message"], (*own, *said["within"]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return Problem(str(first.get("ctx", {}).get("error", first["msg"])), (*own, "gate"))
    return None


def _sections(entry: Any) -> dict[str, Any]:
    """The sections of the gate that an entry has."""
    return {} if entry.gate is None else _written(entry.gate)


def _written(gate_: Any) -> dict[str, Any]:
    return {name: getattr(gate_, name) for name in gate_.model_fields_set}
