"""How a step will train: what its options say, and what it takes from the model in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.common.base.step_options import LearningRateSchedule, TrainingOptions
from components.common.data.label_range import name_of
from components.common.models import compilation, output_kind, precision
from components.common.models.output_kind import losses_of
from components.common.steps.explanation import Refusal
from components.common.training import fitting, self_teaching


@dataclass(frozen=True)
class Training:
    """How a step will train.

    Attributes:
        steps: Steps of the optimizer; None if the number of examples is not known.
        epochs: Passes over the examples, begun ones counted; None as above.
        batch_size: Examples in a step.
        optimizer: Class name.
        learning_rate: None if the model is compiled with a schedule, which the step begins again.
        loss: What is minimized, by name; one for each output.
    """

    steps: int | None
    epochs: int | None
    batch_size: int
    optimizer: str
    learning_rate: float | None
    loss: tuple[str, ...]

    def text(self) -> str:
        """The training in one line."""
        batches = f"batches of {self.batch_size}"
        length = f"{self.steps:,} steps with {batches}, " if self.steps is not None else f"{batches}, "
        rate = "its own schedule" if self.learning_rate is None else f"{self.learning_rate:.6g}"
        return f"{length}{self.optimizer}, learning rate {rate}, loss {' and '.join(self.loss)}"


def describe(options: TrainingOptions, model: Any, examples: int | None) -> Training:
    """How a step will train.

    Args:
        options: Options of the step, with what it takes from the baseline.
        model: As the baseline is before it is trained; compiled if labels teach.
        examples: Number of training examples, if it is known.
    """
    if examples:
        options = options.for_model(model.count_params(), examples)
    steps = fitting.total_steps(options, examples) if examples else None
    per_epoch = fitting.steps_per_epoch(options, examples) if examples else None
    losses = [name_of(loss) for loss in losses_of(model) if loss is not None]
    compiled = model._is_compiled
    return Training(
        steps,
        -(-steps // per_epoch) if steps and per_epoch else None,
        options.examples_per_step(),
        type(precision.plain_optimizer(model.optimizer)).__name__ if compiled else "Adam",
        _learning_rate(options, model),
        tuple(losses if options.needs_labels() else ["distance to the baseline's outputs"]),
    )


def _learning_rate(options: TrainingOptions, model: Any) -> float | None:
    if options.learning_rate is not None:
        return options.learning_rate
    if not model._is_compiled:
        return self_teaching.LEARNING_RATE
    rate = compilation.learning_rate_of(model)
    return float(f"{rate:.7g}") if isinstance(rate, float) else None


def refusals(options: TrainingOptions, model: Any) -> list[Refusal]:
    """Why a step cannot train as its options say; arguments are as `describe` takes them."""
    found = []
    usual = LearningRateSchedule(), options.usual_schedule()
    if _learning_rate(options, model) is None and options.learning_rate_schedule not in usual:
        reason = (
            "the model is compiled with its own learning rate schedule; write learning_rate for "
            "learning_rate_schedule to go by, or leave learning_rate_schedule out"
        )
        found.append(Refusal("", reason, "learning_rate_schedule"))
    if not options.needs_labels() and options.early_stopping is not None:
        known = self_teaching.metrics_of(self_teaching.answers_of(model, output_kind.logits(model)))
        if options.early_stopping.monitor not in known:
            reason = (
                f"monitor {options.early_stopping.monitor} is measured on labels, and the step learns from the "
                f"baseline's outputs; write monitor: {' or '.join(known)}, or teacher: labels"
            )
            found.append(Refusal("", reason, "early_stopping"))
    return found
