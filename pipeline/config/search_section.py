"""The `search` section of a config: a space of candidates. Imports neither TensorFlow, TFX nor Optuna."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from components import registry
from components.common.base.near_names import nearest
from components.common.base.options import Options
from components.selector.params import Figure
from pipeline.config.chain import Chain
from pipeline.config.refused import REFUSED, refused
from pipeline.config.search_domain import Domain, Value, Values, domain_of, filled, found_in

Objective = Literal[Figure, "accuracy"]

OPTIONAL = "optional"
DEFAULT_TRIALS = 20


class SpaceStep(RootModel[dict[str, Any]]):
    """A step of the space: a technique with its options, of which each may be a range or a list of choices."""

    @model_validator(mode="after")
    def _is_a_step(self) -> SpaceStep:
        names = [name for name in self.root if name != OPTIONAL]
        if len(names) != 1:
            raise ValueError(
                f"a step is one of {', '.join(registry.TECHNIQUES)}, with its options, and perhaps optional: true; "
                "begin the next step with '-'"
            )
        if names[0] not in registry.TECHNIQUES:
            known = list(registry.TECHNIQUES)
            raise refused(
                f"{names[0]!r} is not a technique{nearest(names[0], known)}; there are {', '.join(known)}",
                names[0],
            )
        if not isinstance(self.root.get(OPTIONAL, False), bool):
            raise refused("must be true or false", OPTIONAL)
        if not isinstance(self.root[names[0]], dict | None):
            raise refused("must be a mapping of options", names[0])
        return self

    @property
    def technique(self) -> str:
        """Its name, as written."""
        return next(name for name in self.root if name != OPTIONAL)

    @property
    def options(self) -> dict[str, Any]:
        """Its options; what is searched is a mapping with `between` or `choose`."""
        return self.root[self.technique] or {}

    @property
    def optional(self) -> bool:
        """Whether a trial may leave it out."""
        return bool(self.root.get(OPTIONAL, False))


class Space(RootModel[list[SpaceStep]]):
    """The steps of every trial's chain, in order; the last one converts."""

    root: list[SpaceStep] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_chains(self) -> Space:
        for index, step in enumerate(self.root):
            for path, written in found_in(step.options):
                try:
                    domain_of(written)
                except ValueError as error:
                    raise refused(str(error), index, step.technique, *path) from None
        if not any(step.optional for step in self.root) and not self.domains():
            raise ValueError(
                "has one candidate only; write {between: [low, high]} or {choose: [a, b]} as the value of an option, "
                "or optional: true beside a step"
            )
        for contexts in self._every_value():
            faults = []
            for values in contexts:
                try:
                    self.chain(values)
                    break
                except ValidationError as error:
                    faults.append(self._located(error, values))
            else:
                raise ValidationError.from_exception_data("search.space", faults[0])
        return self

    def names(self) -> list[str]:
        """The name of each step's parameters: the technique, with its place if it is there twice."""
        written = [step.technique for step in self.root]
        return [
            name if written.count(name) == 1 else f"{name}{index + 1}" for index, name in enumerate(written)
        ]

    def domains(self) -> dict[str, Domain]:
        """Parameter → its domain, in the order of the space; without whether optional steps are there."""
        return {
            name: domain
            for index in range(len(self.root))
            for name, domain in self.domains_of(index).items()
        }

    def domains_of(self, index: int) -> dict[str, Domain]:
        """The domains of one step."""
        prefix = self.names()[index]
        return {
            ".".join((prefix, *map(str, path))): domain_of(written)
            for path, written in found_in(self.root[index].options)
        }

    def parameters(self) -> list[str]:
        """Names of everything that a trial decides, in the order of the space."""
        found = []
        for index, (name, step) in enumerate(zip(self.names(), self.root, strict=True)):
            found += [name] * step.optional
            found += self.domains_of(index)
        return found

    def included(self, values: Mapping[str, Value]) -> list[int]:
        """Indices of the steps that a trial has."""
        return [
            index
            for index, (name, step) in enumerate(zip(self.names(), self.root, strict=True))
            if not step.optional or values[name]
        ]

    def steps(self, values: Mapping[str, Value]) -> list[dict[str, Any]]:
        """A trial's chain as a config has it.

        Args:
            values: Parameter → value, for every optional step whether it is there.
        """
        names = self.names()
        return [
            {self.root[index].technique: filled(self.root[index].options, values, names[index])}
            for index in self.included(values)
        ]

    def chain(self, values: Mapping[str, Value]) -> Chain:
        """A trial's chain.

        Raises:
            ValidationError: If these steps and options cannot be combined.
        """
        return Chain.model_validate(self.steps(values))

    def ends(self) -> dict[str, Chain]:
        """The smallest and the largest values, with all steps, as far as they make a chain: for checks and tables."""
        found: dict[str, Chain] = {}
        for name, values in (("search-low", self._all(0)), ("search-high", self._all(-1))):
            for tried in (values, self._without_optional(values)):
                try:
                    chain = self.chain(tried)
                except ValidationError:
                    continue
                if all(chain.canonical() != other.canonical() for other in found.values()):
                    found[name] = chain
                break
        return found

    def _all(self, end: Literal[0, -1]) -> Values:
        there: Values = {
            name: True for name, step in zip(self.names(), self.root, strict=True) if step.optional
        }
        return {**there, **{name: domain.ends()[end] for name, domain in self.domains().items()}}

    def _without_optional(self, values: Values, kept: str = "") -> Values:
        names = zip(self.names(), self.root, strict=True)
        return {**values, **{name: name == kept for name, step in names if step.optional}}

    def _every_value(self) -> Iterator[list[Values]]:
        """For each end of a range and each choice: trials of which one must be a chain."""
        lowest = self._all(0)
        yield [lowest, self._all(-1), self._without_optional(lowest)]
        for index, step in enumerate(self.names()):
            for name, domain in self.domains_of(index).items():
                for value in domain.ends():
                    changed = {**lowest, name: value}
                    yield [changed, self._without_optional(changed, step)]

    def _located(self, error: ValidationError, values: Values) -> list[InitErrorDetails]:
        """The mistakes of a chain, at their places in the space."""
        included = self.included(values)
        found = []
        for detail in error.errors(include_url=False):
            context = dict(detail.get("ctx", {}))
            at: tuple[int | str, ...] = tuple(detail["loc"])
            if detail["type"] == REFUSED:
                at += tuple(context["within"])
                kind: Any = refused(context["message"])
            elif detail["type"] == "extra_forbidden" and len(at) == 3:
                known = list(registry.TECHNIQUES[str(at[1])].options.model_fields)
                meant = nearest(str(at[2]), known)
                kind = refused(f"unknown key{meant}; known here: {', '.join(known)}")
            elif detail["type"] == "value_error":
                kind = refused(str(context["error"]))
            else:
                kind = detail["type"]
            if at and isinstance(at[0], int):
                at = (included[at[0]], *at[1:])
            made = InitErrorDetails(type=kind, loc=at, input=detail["input"])
            if isinstance(kind, str) and context:
                made["ctx"] = context
            found.append(made)
        return found


class Tune(Options):
    """The split that trials are judged on: not eval, on which the winner is judged once, at the end."""

    fraction: float = Field(
        default=0.1,
        ge=0.01,
        le=0.5,
        description="Share of the training examples, chosen by a hash, that trials do not train on and are judged on. "
        "The last run trains on all of them.",
    )
    hash_by: str | None = Field(
        default=None,
        min_length=1,
        description="Feature whose value is hashed, so that all examples with the same value are on the same side. "
        "Default: the whole example.",
    )
    files: str | None = Field(
        default=None,
        min_length=1,
        description="Instead of a fraction: pattern of files below data.path that are neither in train nor in eval.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Tune:
        both = sorted({"fraction", "hash_by"} & self.model_fields_set)
        if self.files is not None and both:
            raise ValueError(f"files and {both[0]} both choose the examples; write one of them")
        return self


class Halving(Options):
    """Successive halving: more proposals, of which only the promising ones are trained in full.

    Jamieson and Talwalkar, 2016: "Non-stochastic best arm identification and hyperparameter optimization".
    """

    epochs: int = Field(
        default=1,
        ge=1,
        description="Epochs of each step that trains, in the cheap run before the full one.",
    )
    keep: float = Field(
        default=0.5,
        ge=0.1,
        le=0.9,
        description="Share of a round's proposals that are then trained in full.",
    )


class Search(Options):
    """A space of candidates, which `paredown search` looks through for the best one that passes the gate."""

    space: Annotated[
        Space,
        Field(
            description="Steps of each trial's chain. The value of an option may be {between: [low, high]}, with "
            "step: or log: true beside it, or {choose: [a, b, …]}; a step with optional: true may be left out."
        ),
    ]
    trials: int | None = Field(
        default=None,
        ge=1,
        description="Number of candidates to try; 20 by default, if minutes is not written either.",
    )
    minutes: float | None = Field(
        default=None,
        gt=0,
        description="Start no new round once the finished ones have taken this many minutes.",
    )
    seed: int | None = Field(
        default=None, ge=0, lt=2**31, description="Seed of the proposals. Default: run.seed."
    )
    round: int = Field(
        default=4,
        ge=1,
        description="Number of trials that are proposed together and run in one pipeline run.",
    )
    halving: Halving | None = Field(
        default=None,
        exclude_if=operator.not_,
        description="Propose round / keep trials in each round, train them briefly first, and train only the promising "
        "ones in full, e.g. {epochs: 1, keep: 0.5}. The others count as trials, too: pruned early.",
    )
    objectives: list[Objective] = Field(
        default=[],
        description="What to optimize: size, gzip_size, latency, memory, flash (the smallest), accuracy (the best). "
        "Several give a Pareto front. Default: what `select` says.",
    )
    finalists: int = Field(
        default=3,
        ge=1,
        description="Number of the best trials that the last run trains on all of the training data and judges on the "
        "eval split. With several objectives, they are chosen from the Pareto front.",
    )
    tune: Tune = Field(
        default=Tune.model_construct(), description="The examples that trials are judged on."
    )

    @model_validator(mode="after")
    def _objectives_differ(self) -> Search:
        twice = [name for name in self.objectives if self.objectives.count(name) > 1]
        if twice:
            raise refused(f"{twice[0]} is listed twice; list it once", "objectives")
        return self

    @property
    def proposals(self) -> int:
        """How many trials a round begins with."""
        return self.round if self.halving is None else math.ceil(self.round / self.halving.keep)

    @property
    def most_trials(self) -> int | None:
        """The number of trials to look at; None if only time limits it."""
        return DEFAULT_TRIALS if self.trials is None and self.minutes is None else self.trials
