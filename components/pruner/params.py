"""Options of the `prune` step."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from typing_extensions import Self

from components.common.base.layer_names import matches
from components.common.base.per_layer import from_pairs, refusing_zero, to_pairs
from components.common.base.step_options import (
    Baseline,
    ClientTuningOptions,
    LearningRateSchedule,
    StepOptions,
    Teaching,
)
from components.pruner import span
from components.pruner.span import Span

# The mask of m:n sparsity is made once, at the first step: these would have no effect.
_NOT_WITH_M_BY_N = (
    "per_layer",
    "block",
    "block_pooling",
    "schedule",
    "initial_sparsity",
    "begin",
    "end",
    "frequency",
    "allocation",
    "reconstruct",
)
# Weights that go before training go by no schedule.
_NOT_WITH_RECONSTRUCT = ("m_by_n", "block", "schedule", "initial_sparsity", "begin", "end", "frequency")
_NOT_WITH_LAMP = ("block", "initial_sparsity")
# In fewer steps than these, the weights that are left do not make up for those that went.
ENOUGH_STEPS = 1000
# A model with few weights has none to spare: those that are left take longer to make up for the others.
_STEPS_OF_SMALL = 4000
_SMALL = 100_000
# At this temperature the most likely classes count most, but not they alone.
_TEACHING = Teaching(temperature=3.0, mixtures=0.5)
_PAIR_SCHEMA = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}


def _pair(value: Any) -> tuple[int, int] | None:
    """Two whole numbers above 0, or None."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    if any(isinstance(number, bool) or not isinstance(number, int) or number < 1 for number in value):
        return None
    return value[0], value[1]


def parse_m_by_n(value: Any) -> tuple[int, int]:
    """(m, n) of [m, n] or the text "m:n".

    Raises:
        ValueError: If the value is neither, or m >= n.
    """
    match = re.fullmatch(r"\s*([0-9]+)\s*:\s*([0-9]+)\s*", value) if isinstance(value, str) else None
    pair = _pair([int(match[1]), int(match[2])] if match else value)
    if pair is None:
        raise ValueError(
            f'{value!r} is not an m:n sparsity; write [2, 4] or "2:4" for 2 zeros in every 4 weights'
        )
    if pair[0] >= pair[1]:
        raise ValueError(
            f"{pair[0]} zeros in every {pair[1]} weights would leave none of them; write fewer, e.g. "
            f"[{max(1, pair[1] // 2)}, {max(2, pair[1])}]"
        )
    return pair


def parse_block(value: Any) -> tuple[int, int]:
    """(rows, columns) of [rows, columns].

    Raises:
        ValueError: If it is not such a list, or a block of one weight.
    """
    pair = _pair(value)
    if pair is None:
        raise ValueError(f"{value!r} is not a block; write [rows, columns], e.g. [4, 1]: inputs, outputs")
    if pair == (1, 1):
        raise ValueError("a block of [1, 1] is a single weight; write a larger one, or leave `block` out")
    return pair


class PruneOptions(ClientTuningOptions):
    """Pruning: weights that matter least become and stay zero.

    They are those of the smallest magnitude, Zhu and Gupta, "To prune, or not to prune" (2017),
    https://arxiv.org/abs/1710.01878, https://www.tensorflow.org/model_optimization/guide/pruning; or, with
    `reconstruct`, those whose loss changes a layer's outputs least, Frantar and Alistarh, "Optimal Brain Compression"
    (2022), https://arxiv.org/abs/2208.11580.
    """

    technique: ClassVar[str] = "prune"
    wrappers: ClassVar[tuple[str, ...]] = ("prune_low_magnitude_",)
    not_on_clients: ClassVar[Mapping[str, str]] = {
        **ClientTuningOptions.not_on_clients,
        **dict.fromkeys(
            ("schedule", "initial_sparsity", "begin", "end", "frequency"),
            "the server removes weights before the first round, all at once",
        ),
    }

    sparsity: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of weights that become zero: of each layer, or of all together, depending on `allocation`.",
    )
    allocation: Literal["uniform", "lamp"] | None = Field(
        default=None,
        description="uniform: `sparsity` applies to each layer. lamp: it applies to all layers together, and layers "
        "whose weights contribute less lose more of them (Lee et al., 2021); layers in `per_layer` do not count. "
        "Default: lamp with teacher: self, else uniform; always uniform with m_by_n or "
        "block.",
    )
    reconstruct: bool | None = Field(
        default=None,
        description="Whether to remove weights before training: those whose removal changes a layer's outputs on "
        "training examples least. The others are adjusted to compensate (Frantar and Alistarh, 2022). For Dense and "
        "Conv2D that are not too large; other layers lose their smallest weights in the first step. Default: true "
        "with teacher: self and no schedule.",
    )
    per_layer: Annotated[
        dict[
            str,
            Annotated[
                float,
                Field(gt=0, lt=1),
                BeforeValidator(refusing_zero("sparsity 0 would leave these layers unpruned")),
            ],
        ],
        BeforeValidator(from_pairs),
        PlainSerializer(to_pairs),
    ] = Field(
        default={},
        description="Name pattern of layers → their sparsity, instead of `sparsity`; the first matching pattern "
        "counts.",
    )
    m_by_n: (
        Annotated[
            tuple[int, int],
            BeforeValidator(parse_m_by_n),
            WithJsonSchema({"anyOf": [_PAIR_SCHEMA, {"type": "string", "pattern": "^[0-9]+:[0-9]+$"}]}),
        ]
        | None
    ) = Field(
        default=None,
        description='Instead of `sparsity`: [2, 4] or "2:4" makes 2 of every 4 consecutive weights along '
        "the input channels zero, from the first step on. For Dense, Conv2D and SeparableConv2D; those with "
        "fewer input channels stay dense. "
        "https://www.tensorflow.org/model_optimization/guide/pruning/pruning_with_sparsity_2_by_4",
    )
    block: Annotated[tuple[int, int], BeforeValidator(parse_block), WithJsonSchema(_PAIR_SCHEMA)] | None = (
        Field(
            default=None,
            description="[rows, columns] (inputs, outputs) of blocks that become zero as a whole. For Dense layers "
            "only; all others stay dense.",
        )
    )
    block_pooling: Literal["avg", "max"] = Field(
        default="avg",
        description="Magnitude of a block: the mean of its weights' magnitudes, or their maximum.",
    )
    schedule: Literal["polynomial", "constant"] = Field(
        default="polynomial",
        description="polynomial: sparsity grows from `begin` to `end`, when it reaches the target; constant: the "
        "target applies from `begin` on.",
    )
    initial_sparsity: float = Field(
        default=0.0, ge=0, lt=1, description="Sparsity at which the polynomial schedule starts."
    )
    begin: Span | None = Field(
        default=None, description="When pruning begins, e.g. 200 steps or 0.5 epochs; at once by default."
    )
    end: Span | None = Field(
        default=None,
        description="When the last weights become zero, e.g. 600 steps or 1.5 epochs; by default three "
        "quarters of training (polynomial), or never (constant).",
    )
    frequency: Span | None = Field(
        default=None,
        description="How often weights are chosen again, e.g. 100 steps; by default ten times from `begin` to `end`, "
        "but at least every 100 steps.",
    )
    include: list[str] = Field(default=["*"], min_length=1, description="Name patterns of layers to prune.")
    exclude: list[str] = Field(default=[], description="Name patterns of layers to leave dense.")
    epochs: int | None = Field(
        default=None,
        ge=1,
        description=f"Passes over the training examples. Default: 2, or as many as {ENOUGH_STEPS:,} steps take; "
        f"with teacher: self as many as {_STEPS_OF_SMALL:,} steps take if the model has at most {_SMALL:,} weights.",
    )

    def passes(self, per_epoch: int) -> int:
        """The number that is set; by default enough for the schedule to end and for weights to recover."""
        return self.epochs or max(2, math.ceil(ENOUGH_STEPS / per_epoch))

    def for_model(self, weights: int, examples: int) -> Self:
        """Enough epochs for a small model that learns from its baseline, if no length is written."""
        if self.epochs or self.steps or self.needs_labels() or weights > _SMALL:
            return self
        per_epoch = math.ceil(examples / self.examples_per_step())
        return self.model_copy(update={"epochs": max(2, math.ceil(_STEPS_OF_SMALL / per_epoch))})

    def teaching(self) -> Teaching:
        """By probabilities: the weights that are left cannot match all logits, and those of likely classes decide."""
        return _TEACHING

    def like(self, baseline: Baseline) -> Self:
        """As the base class does, and how weights are chosen if a baseline's outputs say what layers should give."""
        filled = super().like(baseline)
        if filled.needs_labels() or self.m_by_n is not None or self.block is not None:
            return filled
        scheduled = any(name in self.model_fields_set for name in _NOT_WITH_RECONSTRUCT)
        allocation = self.allocation or ("uniform" if self.initial_sparsity else "lamp")
        reconstruct = not scheduled if self.reconstruct is None else self.reconstruct
        filled = filled.model_copy(update={"allocation": allocation, "reconstruct": reconstruct})
        if "learning_rate_schedule" in self.model_fields_set:
            return filled
        return filled.model_copy(update={"learning_rate_schedule": filled.usual_schedule()})

    def usual_schedule(self) -> LearningRateSchedule:
        """Falling after weights went at once: nothing is left to be pruned late, so that late steps settle."""
        return LearningRateSchedule(kind="cosine" if self.reconstruct else "constant")

    def at_once(self) -> bool:
        """Whether the target holds from the first step on."""
        return self.schedule == "constant" or bool(self.reconstruct)

    def written_target(self, layer: str) -> float | None:
        """The sparsity that `per_layer` has for a layer; None if it has none."""
        for pattern, sparsity in self.per_layer.items():
            if matches(layer, [pattern]):
                return sparsity
        return None

    def target(self, layer: str) -> float:
        """Share of a layer's weights that become zero if `allocation` is uniform; by `m_by_n` if that is written."""
        if self.m_by_n is not None:
            return self.m_by_n[0] / self.m_by_n[1]
        written = self.written_target(layer)
        if written is not None:
            return written
        assert self.sparsity is not None
        return self.sparsity

    def check_after(self, before: StepOptions) -> None:
        """Refuses to prune the same layers less than before: what is zero stays zero."""
        if not isinstance(before, PruneOptions):
            return
        if (self.include, self.exclude) != (before.include, before.exclude):
            return
        if self.m_by_n is not None and before.m_by_n is None:
            return  # a pattern among the zeros, however many they are
        if self.m_by_n is not None and self.target("") <= before.target(""):
            raise ValueError(
                f"m_by_n {_colon(self.m_by_n)} makes no weight zero after the {_colon(before.m_by_n)} of an "
                "earlier `prune`; leave this step out"
            )
        # A pattern matches itself, so it represents the layers that it matches.
        for layer in ("", *before.per_layer, *self.per_layer):
            own, earlier = self.target(layer), before.target(layer)
            if own < earlier:
                of = f" of {layer!r}" if layer else ""
                raise ValueError(
                    f"sparsity {own:g}{of} is below the {earlier:g} of an earlier `prune`; write a higher one"
                )

    @field_validator("sparsity", "m_by_n", mode="before")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("is empty; write e.g. sparsity: 0.8, or m_by_n: [2, 4], or remove the line")
        return value

    @model_validator(mode="after")
    def _one_kind_of_sparsity(self) -> PruneOptions:
        if self.sparsity is None and self.m_by_n is None:
            raise ValueError("how much to prune is missing; write e.g. sparsity: 0.8, or m_by_n: [2, 4]")
        if self.m_by_n is None:
            return self
        if self.sparsity is not None:
            raise ValueError(
                f"sparsity ({self.sparsity:g}) and m_by_n ({_colon(self.m_by_n)}) both say how many weights "
                "become zero; write one of them"
            )
        for name in _NOT_WITH_M_BY_N:
            if name in self.model_fields_set and getattr(self, name) is not None:
                raise ValueError(
                    f"{name} cannot be combined with m_by_n, which is the same for all layers and holds from the "
                    f"first step on; leave {name} out, or write sparsity in place of m_by_n"
                )
        return self

    @model_validator(mode="after")
    def _ways_go_together(self) -> PruneOptions:
        for way, chosen, others in (
            ("reconstruct", self.reconstruct is True, _NOT_WITH_RECONSTRUCT),
            ("allocation: lamp", self.allocation == "lamp", _NOT_WITH_LAMP),
        ):
            for name in others if chosen else ():
                if name in self.model_fields_set and getattr(self, name) is not None:
                    raise ValueError(f"{name} cannot be combined with {way}; leave one of them out")
        return self

    @model_validator(mode="after")
    def _block_pooling_has_blocks(self) -> PruneOptions:
        if self.block is None and "block_pooling" in self.model_fields_set:
            raise ValueError("block_pooling needs block; write e.g. block: [4, 1], or leave it out")
        return self

    @model_validator(mode="after")
    def _initial_below_target(self) -> PruneOptions:
        if self.schedule == "constant" and self.initial_sparsity:
            raise ValueError(
                f"initial_sparsity ({self.initial_sparsity:g}) cannot be combined with schedule: constant; write "
                "schedule: polynomial, or leave it out"
            )
        if self.sparsity is not None and self.initial_sparsity >= self.sparsity:
            raise ValueError(
                f"initial_sparsity ({self.initial_sparsity:g}) must be below sparsity ({self.sparsity:g})"
            )
        for pattern, sparsity in self.per_layer.items():
            if self.initial_sparsity >= sparsity:
                raise ValueError(
                    f"initial_sparsity ({self.initial_sparsity:g}) must be below every sparsity of per_layer, "
                    f"where {pattern!r} has {sparsity:g}"
                )
        return self

    @model_validator(mode="after")
    def _schedule_fits_training(self) -> PruneOptions:
        """Checks lengths that have the same unit; the executor checks the others."""
        length, unit = (
            (self.steps, "steps") if self.steps is not None else (self.epochs or math.inf, "epochs")
        )
        training = span.written(length, unit)
        if self.end is not None and span.amount(self.end)[0] == 0:
            raise ValueError(
                f"end: {self.end} is before the first step; write a later one, e.g. 1.5 epochs"
            )
        if self.end is not None and _ahead(self.end, training) > 0:
            raise ValueError(f"end: {self.end} is after the end of training, which takes {training}")
        if self.frequency is not None and span.amount(self.frequency)[0] == 0:
            raise ValueError(f"frequency: {self.frequency} is not a length of time; write e.g. 100 steps")
        if self.begin is None:
            return self
        if _ahead(self.begin, training) >= 0:
            raise ValueError(
                f"begin: {self.begin} leaves no training, which takes {training}; write an earlier one"
            )
        by_default = span.written(0.75 * length, unit) if self.schedule == "polynomial" else None
        end = self.end or by_default
        if end is not None and _ahead(self.begin, end) >= 0:
            by_itself = "" if self.end else ", by default three quarters of training"
            raise ValueError(f"begin: {self.begin} must be before end: {end}{by_itself}")
        return self


def _ahead(first: str, second: str) -> float:
    """How much longer a span is than another; NaN if their units differ."""
    (number, unit), (other, other_unit) = span.amount(first), span.amount(second)
    return number - other if unit == other_unit else math.nan


def _colon(m_by_n: tuple[int, int] | None) -> str:
    return ":".join(map(str, m_by_n or ()))
