"""The options of one optimization step, as a config writes them."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from components.common.base import metric_direction
from components.common.base.distribution_options import ALONE, Distributed, Distribution
from components.common.base.options import Options

# Default of Keras's `fit`.
BATCH_SIZE = 32
# Trains a step on clients; imported only if a step asks for that.
ON_CLIENTS = "components.federated_trainer.step_training"


class StepOptions(Options):
    """Options of a step in a candidate's chain.

    Attributes:
        technique: The step's name in a config, and in node ids.
        wrappers: What the names of layers begin with while, and if the model keeps its wrappers after, the
            step trains them.
        quantization_aware: Whether the step leaves a model that has learned the ranges that int8 needs.
    """

    technique: ClassVar[str]
    wrappers: ClassVar[tuple[str, ...]] = ()
    quantization_aware: ClassVar[bool] = False

    def check_after(self, before: StepOptions) -> None:
        """Raises a ValueError if this step cannot work after an earlier one, though their stages allow it."""

    def functions(self) -> dict[str, str]:
        """Option → the function of the model module that it names."""
        return {}

    def called_modules(self) -> tuple[str, ...]:
        """Modules that the executor imports inside a function, and calls only if these options ask for it."""
        return ()

    def compares_with_baseline(self) -> bool:
        """Whether the executor reads the baseline although it may begin with another model."""
        return False

    def why_one_scale(self) -> str:
        """Why kernels must not get a scale for each channel after this step, and the fix; empty if they may."""
        return ""

    def slug(self) -> str:
        """The step's part of a node id: its name, and a short hash if options are not defaults."""
        changed = self.model_dump(mode="json", exclude_defaults=True, exclude=self._named_in_slug())
        name = self._slug_name()
        if not changed:
            return name
        digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()
        return f"{name}-{digest[:6]}"

    def _slug_name(self) -> str:
        return self.technique.replace("_", "-")  # Kubernetes takes no underscore

    def _named_in_slug(self) -> set[str]:
        return set()


class LearningRateSchedule(Options):
    """How the learning rate changes with each step of the optimizer, from the first to the last one."""

    kind: Literal["constant", "linear", "cosine", "exponential"] = Field(
        default="constant",
        description="constant: does not change; linear, cosine (Loshchilov and Hutter, 2017), exponential: falls to "
        "`end` at the end of training.",
    )
    warmup: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of all steps in which the learning rate first rises linearly to its value "
        "(Goyal et al., 2017).",
    )
    end: float = Field(default=0.0, ge=0, lt=1, description="Final value, as a share of the learning rate.")

    @model_validator(mode="after")
    def _end_fits_kind(self) -> LearningRateSchedule:
        if self.kind == "constant" and self.end:
            raise ValueError(
                f"end ({self.end:g}) cannot be combined with a constant learning rate; write kind: linear, cosine "
                "or exponential, or leave `end` out"
            )
        if self.kind == "exponential" and not self.end:
            raise ValueError("an exponential schedule never reaches 0; write e.g. end: 0.01")
        return self


class EarlyStopping(Options):
    """When to end training before its time: as soon as a figure of the eval split stops to improve."""

    monitor: str = Field(
        default="val_loss",
        description="val_loss, or val_ and the name of a metric that build_model compiles with.",
    )
    patience: int = Field(
        default=2, ge=1, description="Epochs without improvement after which training ends."
    )
    min_delta: float = Field(
        default=0.0, ge=0, description="Smallest change that counts as an improvement."
    )
    restore_best: bool = Field(
        default=True,
        description="Whether to keep the weights of the best epoch instead of the last one.",
    )
    higher_is_better: bool | None = Field(
        default=None,
        description="Whether a higher `monitor` is better. Default: from its name (loss, error, entropy: lower is "
        "better).",
    )

    @model_validator(mode="after")
    def _monitor_can_be_followed(self) -> EarlyStopping:
        if not self.monitor.startswith("val_"):
            raise ValueError(
                f"monitor: {self.monitor} is measured on the training split, which training can only fit "
                f"better; write monitor: val_{self.monitor}"
            )
        if self.ascending() is None:
            raise ValueError(
                f"the name {self.monitor} does not say whether higher is better; write "
                "higher_is_better: true or higher_is_better: false beside it"
            )
        return self

    def ascending(self) -> bool | None:
        """Whether a higher value of `monitor` is a better one; None if that is not known."""
        if self.higher_is_better is not None:
            return self.higher_is_better
        return metric_direction.higher_is_better(self.monitor.removeprefix("val_"))


class Training(Options):
    """How long and how a model is trained."""

    epochs: int | None = Field(default=1, ge=1, description="Passes over the training examples.")
    steps: int | None = Field(default=None, ge=1, description="Steps of the optimizer, instead of epochs.")
    batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Examples per training step. Default: as in model.train; 32 for an imported model, as in "
        "Keras's fit.",
    )
    learning_rate_schedule: LearningRateSchedule = Field(
        default=LearningRateSchedule.model_construct(),
        description="How the learning rate changes while training, e.g. {kind: cosine, warmup: 0.1}.",
    )
    early_stopping: EarlyStopping | None = Field(
        default=None,
        description="Ends training when the eval split shows no improvement, e.g. {patience: 2}; off "
        "by default.",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**31,
        description="Seed of initialization, shuffling and dropout. Default: run.seed.",
    )

    distribution: Distributed | None = Field(
        default=None,
        description="none, mirrored, multi_worker, parameter_server or tpu, or {kind: mirrored, devices: 2}. "
        "Default: as in model.train.",
    )

    @model_validator(mode="after")
    def _one_length(self) -> Training:
        if self.steps is not None and "epochs" in self.model_fields_set:
            raise ValueError(
                f"epochs ({self.epochs}) and steps ({self.steps}) both say how long to train; write one of them"
            )
        if self.early_stopping is not None and self.steps is None and self.epochs == 1:
            raise ValueError(
                "early_stopping compares epochs, but there is only one; write e.g. epochs: 10, or leave "
                "early_stopping out"
            )
        return self

    def passes(self, per_epoch: int) -> int:
        """Passes over the training examples if `steps` does not say how long training is.

        Args:
            per_epoch: Steps in one pass.
        """
        return self.epochs or 1

    def examples_per_step(self) -> int:
        """The batch size; Keras's own if neither these options nor the baseline's say one."""
        return self.batch_size or BATCH_SIZE


def distribution_of(options: Options) -> Distribution:
    """How a node's work is distributed: as its options say, and not at all if it does not train."""
    return (options.distribution if isinstance(options, Training) else None) or ALONE


@dataclass(frozen=True)
class Baseline:
    """The baseline's settings that are defaults of steps that train.

    Attributes:
        distribution: How the baseline is trained.
        batch_size: With which batches; those of Keras's `fit` if it is imported.
        imported: Whether it is an existing model.
    """

    distribution: Distribution = ALONE
    batch_size: int = BATCH_SIZE
    imported: bool = False


@dataclass(frozen=True)
class Teaching:
    """How a baseline's probabilities or logits teach a model.

    Attributes:
        temperature: Of the probabilities that are compared; None if logits are.
        mixtures: Share of training examples that are mixed with others, for which the baseline answers.
    """

    temperature: float | None = None
    mixtures: float = 0.0


class TrainingOptions(Training, StepOptions):
    """Options of a step that trains."""

    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the optimizer. Default: the one that the model is compiled with.",
    )

    def needs_labels(self) -> bool:
        """Whether it minimizes the loss that the model is compiled with, of labels."""
        return True

    def teaching(self) -> Teaching:
        """How the baseline's outputs teach, if they do."""
        return Teaching()

    def for_model(self, weights: int, examples: int) -> Self:
        """The same options, with what depends on the model in place of what they do not say.

        Args:
            weights: Number of the model's weights.
            examples: Number of training examples.
        """
        return self

    def usual_schedule(self) -> LearningRateSchedule:
        """The learning rate's schedule if none is written; a model that is compiled with its own keeps that."""
        return LearningRateSchedule()

    def like(self, baseline: Baseline) -> Self:
        """The same options, with what the baseline has in place of what they do not say."""
        return self.model_copy(
            update={
                "distribution": self.distribution or baseline.distribution,
                "batch_size": self.batch_size or baseline.batch_size,
            }
        )


class TuningOptions(TrainingOptions):
    """Options of a step that trains a model on."""

    freeze: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[],
        description="Name patterns of layers whose weights training does not change. What the step itself does to "
        "weights, it also does to theirs.",
    )
    teacher: Literal["self", "labels"] | None = Field(
        default=None,
        description="What the model learns from. self: the baseline's own outputs, by the distance of logits or "
        "probabilities if there are any, without labels; labels: the loss that the model is compiled with. Default: "
        "self for an imported model, labels for others.",
    )

    def needs_labels(self) -> bool:
        """Whether labels teach; the baseline's outputs do otherwise."""
        return self.teacher != "self"

    def compares_with_baseline(self) -> bool:
        """Whether the baseline teaches."""
        return not self.needs_labels()

    def like(self, baseline: Baseline) -> Self:
        """As the base class does, and the teacher that goes with the baseline."""
        teacher = self.teacher or ("self" if baseline.imported else "labels")
        return super().like(baseline).model_copy(update={"teacher": teacher})


class ClientTuningOptions(TuningOptions):
    """Options of a step that the clients of a federated baseline can train.

    Attributes:
        not_on_clients: Option → why it has no meaning if they do.
    """

    not_on_clients: ClassVar[Mapping[str, str]] = {
        "steps": "clients train in whole epochs",
        "early_stopping": "epochs say how many rounds there are",
        "learning_rate_schedule": "a client's optimizer starts from its initial state in each round",
        "distribution": "clients train one after another in one process",
        "teacher": "clients learn from the labels of their own examples",
    }

    # Left out if it is not written, so that nothing is trained again.
    federated: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="Trains on the clients of model.train.federated, with its options, in as many rounds as `epochs` "
        "passes over the training examples take. The server decides on zeros, shared values and ranges of activations "
        "before the first round, and only the values that remain free are sent.",
    )

    @model_validator(mode="after")
    def _clients_can_train(self) -> Self:
        if not self.federated:
            return self
        for option, why in self.not_on_clients.items():
            value = getattr(self, option)
            alike = (type(self).model_fields[option].default, None, ALONE, "labels")
            if option in self.model_fields_set and value not in alike:
                raise ValueError(
                    f"{option} has no meaning beside federated: {why}; remove {option} or federated"
                )
        return self

    def called_modules(self) -> tuple[str, ...]:
        """What trains on clients, if they train."""
        return (*super().called_modules(), *((ON_CLIENTS,) if self.federated else ()))
