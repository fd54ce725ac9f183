"""The techniques that a candidate's chain can be made of: one line each, TensorFlow-free."""

from __future__ import annotations

from collections.abc import Iterator

from components.channel_pruner.technique import PRUNE_CHANNELS
from components.clusterer.technique import CLUSTER
from components.common.base import layer_names
from components.common.base.step_options import StepOptions
from components.common.models.invariants import Invariant
from components.common.steps.technique import Technique
from components.distiller.technique import DISTILL
from components.fine_tuner.technique import FINE_TUNE
from components.pruner.technique import PRUNE
from components.quantization_aware_trainer.technique import QAT
from components.tflite_converter.technique import CONVERT

TECHNIQUES: dict[str, Technique] = {}
_complete = False


def register(technique: Technique) -> None:
    """Adds a technique. This has to be done before `pipeline` is imported, which builds the config's model of them.

    Raises:
        ValueError: If there is one of that name already, or it is too late.
    """
    if technique.name in TECHNIQUES:
        raise ValueError(f"there is a technique {technique.name!r} already; give this one another name")
    if _complete:
        raise ValueError(
            f"register the technique {technique.name!r} before anything of `pipeline` is imported"
        )
    TECHNIQUES[technique.name] = technique
    layer_names.declare(*technique.options.wrappers)


# In the order in which messages and schemas list them.
for _technique in (DISTILL, PRUNE_CHANNELS, PRUNE, CLUSTER, QAT, FINE_TUNE, CONVERT):
    register(_technique)


def complete() -> dict[str, Technique]:
    """Name → technique, of all that there will be in this process."""
    global _complete
    _complete = True
    return TECHNIQUES


def technique_of(options: StepOptions) -> Technique:
    """The technique whose options these are."""
    return TECHNIQUES[options.technique]


def invariants() -> Iterator[type[Invariant]]:
    """Every kind of invariant that a technique may achieve."""
    for technique in TECHNIQUES.values():
        yield from technique.invariants


def layer_figures() -> dict[str, type[Invariant]]:
    """Name of a fact about each layer → the first kind of invariant that it shows."""
    figures: dict[str, type[Invariant]] = {}
    for kind in invariants():
        figures.setdefault(kind.layer_figure, kind)
    return figures


def headlines() -> dict[str, type[Invariant]]:
    """Name of a fact about the layer that is worst off → the invariant that it is about."""
    return {invariant.headline: invariant for invariant in invariants()}
