"""When weights are pruned: TFMOT's schedules, in steps of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot

from components.common.training import fitting
from components.pruner.span import to_steps


class ScheduleError(Exception):
    """Pruning would not be over when training is; the message has the number of steps."""


@dataclass(frozen=True)
class Renewals:
    """The steps in which masks of weights are made anew; as TFMOT counts them, the first step is 1.

    Attributes:
        begin: The first one.
        end: The last one; −1 where that is the last step of training.
        frequency: Steps from one to the next.
        complete: The first one that has the target.
    """

    begin: int
    end: int
    frequency: int
    complete: int


def renewals(options: Mapping[str, Any], examples: int) -> Renewals:
    """The steps in which masks are made anew in a training on so many examples.

    Args:
        options: As in components.pruner.params, through JSON.
        examples: Number of training examples.

    Raises:
        ScheduleError: Where pruning does not begin before it ends, or not end with training at the latest.
    """
    if options["m_by_n"]:
        return Renewals(1, 1, 1, 1)
    per_epoch = fitting.steps_per_epoch(options, examples)
    steps = fitting.total_steps(options, examples)
    length = f"training has {steps} steps, {per_epoch} in an epoch"

    def in_steps(name: str, default: int) -> int:
        return default if options[name] is None else to_steps(options[name], per_epoch)

    constant = options["schedule"] == "constant"
    begin = in_steps("begin", 0)
    last = in_steps("end", steps if constant else max(1, math.floor(0.75 * steps)))
    if not 1 <= last <= steps:
        where = "before the first one" if last < 1 else "beyond the last one"
        raise ScheduleError(f"end: {options['end']} is step {last}, {where}: {length}")
    if begin >= last:
        raise ScheduleError(
            f"begin: {options['begin']} is step {begin}, and pruning ends with step {last} ({length}); "
            "write an earlier begin, or a later end"
        )
    begin = max(1, begin)
    frequency = in_steps("frequency", min(100, math.ceil((last - begin) / 10)))
    end = -1 if constant and options["end"] is None else last
    return Renewals(begin, end, max(1, frequency), complete=begin if constant else last)


class _PolynomialDecay(tfmot.sparsity.keras.PolynomialDecay):
    """TFMOT's, which makes masks anew at its beginning and at its end whatever the frequency is.

    The end would be missed, and with it the target, where it is no multiple of the frequency away.
    """

    def __call__(self, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether masks are made anew in a step, and the sparsity that they get."""
        renew, sparsity = super().__call__(step)
        return tf.logical_or(renew, tf.equal(step, self.end_step)), sparsity


def schedule(options: Mapping[str, Any], target: float, when: Renewals) -> Any:
    """TFMOT's pruning schedule for a layer.

    Args:
        options: As in components.pruner.params, through JSON.
        target: The layer's sparsity in the end.
        when: Steps in which masks are made anew.
    """
    sparsity = tfmot.sparsity.keras
    if options["schedule"] == "constant" or when.begin == when.end:
        return sparsity.ConstantSparsity(target, when.begin, when.end, when.frequency)
    return _PolynomialDecay(
        initial_sparsity=options["initial_sparsity"],
        final_sparsity=target,
        begin_step=when.begin,
        end_step=when.end,
        frequency=when.frequency,
    )


def first_complete_epoch(when: Renewals, options: Mapping[str, Any], examples: int) -> int:
    """Index of the first epoch after which the target is reached.

    Args:
        when: Steps in which masks are made anew.
        options: As in components.pruner.params, through JSON.
        examples: Number of training examples.
    """
    return math.ceil(when.complete / fitting.steps_per_epoch(options, examples)) - 1
