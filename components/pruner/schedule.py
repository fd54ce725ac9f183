"""When weights are pruned: TFMOT's schedules, in steps of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from components.common.base.errors import ParedownError
from components.common.tfmot.library import tfmot
from components.common.training import fitting
from components.pruner.params import ENOUGH_STEPS, PruneOptions
from components.pruner.span import to_steps


class ScheduleError(ParedownError):
    """Pruning would not be over when training is; the message has the number of steps."""


@dataclass(frozen=True)
class Renewals:
    """The steps in which masks of weights are made again; as TFMOT counts them, the first step is 1.

    Attributes:
        begin: The first one.
        end: The last one; −1 if that is the last step of training.
        frequency: Steps from one to the next.
        complete: The first one that has the target.
    """

    begin: int
    end: int
    frequency: int
    complete: int


def renewals(options: PruneOptions, examples: int) -> Renewals:
    """The steps in which masks are made again in a training on this many examples.

    Args:
        options: Options of the step.
        examples: Number of training examples.

    Raises:
        ScheduleError: If pruning does not begin before it ends, or not end with training at the latest.
    """
    if options.m_by_n:
        return Renewals(1, 1, 1, 1)
    per_epoch = fitting.steps_per_epoch(options, examples)
    steps = fitting.total_steps(options, examples)
    length = f"training has {steps} steps, {per_epoch} in an epoch"

    def in_steps(span: str | None, default: int) -> int:
        return default if span is None else to_steps(span, per_epoch)

    constant = options.at_once()
    begin = in_steps(options.begin, 0)
    last = in_steps(options.end, steps if constant else max(1, math.floor(0.75 * steps)))
    if not 1 <= last <= steps:
        where = "before the first one" if last < 1 else "beyond the last one"
        raise ScheduleError(f"end: {options.end} is step {last}, {where}: {length}")
    if begin >= last:
        raise ScheduleError(
            f"begin: {options.begin} is step {begin}, and pruning ends with step {last} ({length}); "
            "write an earlier begin, or a later end"
        )
    begin = max(1, begin)
    frequency = in_steps(options.frequency, min(100, math.ceil((last - begin) / 10)))
    end = -1 if constant and options.end is None else last
    return Renewals(begin, end, max(1, frequency), complete=begin if constant else last)


def too_short(options: PruneOptions, examples: int) -> str:
    """Why a training is too short to prune in, and what to write; empty if it is long enough.

    Args:
        options: Options of the step.
        examples: Number of training examples.
    """
    steps = fitting.total_steps(options, examples)
    if steps >= ENOUGH_STEPS / 10:
        return ""
    written = "steps" if options.steps is not None else "epochs"
    return (
        f"{steps} steps are too few for pruning: the remaining weights have too little time to adapt; write steps: "
        f"{ENOUGH_STEPS}, or leave {written} out"
    )


class _PolynomialDecay(tfmot.sparsity.keras.PolynomialDecay):
    """TFMOT's schedule, which also makes masks at its beginning and its end, whatever the frequency is.

    The end would be missed, and with it the target, if it is not a multiple of the frequency away.
    """

    def __call__(self, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether masks are made again in a step, and the sparsity that they get."""
        renew, sparsity = super().__call__(step)
        return tf.logical_or(renew, tf.equal(step, self.end_step)), sparsity


def schedule(options: PruneOptions, target: float, when: Renewals) -> Any:
    """TFMOT's pruning schedule for a layer.

    Args:
        options: Options of the step.
        target: The layer's sparsity in the end.
        when: Steps in which masks are made again.
    """
    sparsity = tfmot.sparsity.keras
    if options.at_once() or when.begin == when.end:
        return sparsity.ConstantSparsity(target, when.begin, when.end, when.frequency)
    return _PolynomialDecay(
        initial_sparsity=options.initial_sparsity,
        final_sparsity=target,
        begin_step=when.begin,
        end_step=when.end,
        frequency=when.frequency,
    )


def first_complete_epoch(when: Renewals, options: PruneOptions, examples: int) -> int:
    """Index of the first epoch after which the target is reached.

    Args:
        when: Steps in which masks are made again.
        options: Options of the step.
        examples: Number of training examples.
    """
    return math.ceil(when.complete / fitting.steps_per_epoch(options, examples)) - 1
