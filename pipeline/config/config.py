"""The config: what one YAML file says, validated. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import operator
import os
import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from components.common.base.held_back_limit import HeldBackLimit
from components.common.base.installed import version_or_none
from components.common.base.npu_options import COMPILER
from components.common.base.options import Options, is_none
from components.common.base.step_options import StepOptions, TrainingOptions
from components.evaluator.params import Gate
from components.selector.params import SelectOptions
from components.targets.registry import target_of
from components.targets.server.params import ServingOptions
from components.targets.target import Target
from components.targets.web.params import TfjsOptions
from components.tflite_converter.params import ConvertOptions
from pipeline.config import federated_training, metadata_url, target_section
from pipeline.config.chain import Chain
from pipeline.config.data_options import Data
from pipeline.config.kubeflow_options import KubeflowOptions
from pipeline.config.model_options import ModelSection
from pipeline.config.refused import refused
from pipeline.config.search_section import Search
from pipeline.config.target_entry import TargetEntry
from pipeline.config.target_section import TargetSection

LONGEST_NAME = 40

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def check_name(value: str) -> str:
    """A name of a pipeline or candidate, as it is.

    Raises:
        ValueError: If Kubernetes would not accept it.
    """
    if not _NAME.fullmatch(value) or len(value) > LONGEST_NAME:
        raise ValueError(
            f"{value!r} must be 1 to {LONGEST_NAME} lower-case letters, digits and '-', beginning and ending "
            "with a letter or digit (it names Kubernetes objects)"
        )
    return value


def _check_metadata(value: str) -> str:
    metadata_url.parse(value)
    return value


def _check_flag(value: str) -> str:
    if not value.startswith("--"):
        raise ValueError(f"{value!r} is not an option; write it as --name=value")
    return value


Name = Annotated[str, AfterValidator(check_name)]


class Push(Options):
    """Where to push the best candidate."""

    directory: str = Field(
        min_length=1, description="Folder that gets a subfolder for each pushed version, named by its time."
    )
    c_array: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="Push C++ sources beside the file, in the folder `c`: the model as an array, its arena size, "
        "scales and operators, and a program that runs an eval example, which is published with it. Needs target: "
        "microcontroller.",
    )
    web: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="Push a page and a JavaScript module beside the file, in the folder `web`, with LiteRT.js and an "
        "eval example, which is published with it; they need no other server. Needs target: web.",
    )
    tfjs: TfjsOptions | None = Field(
        default=None,
        exclude_if=is_none,
        description="Push a model for TensorFlow.js beside the file, in the folder `tfjs`, with an eval example, which "
        "is published with it, e.g. {quantization: uint8}. Needs target: web, and `make tfjs` once.",
    )
    serving: ServingOptions | None = Field(
        default=None,
        exclude_if=operator.not_,
        description="Push a SavedModel and, in the folder `deploy`, files for TensorFlow Serving, Docker Compose, "
        "Kubernetes and KServe beside the file. Needs target: server.",
    )


class Run(Options):
    """Where and how the pipeline runs."""

    pipeline_root: str | None = Field(
        default=None, description="Folder of artifacts and logs. Default: .paredown/<name>."
    )
    metadata: Annotated[str, AfterValidator(_check_metadata)] | None = Field(
        default=None,
        description="ML Metadata store: sqlite:///path, mysql://user@host:port/database, "
        "postgresql://user@host:port/database or grpc://host:port. Default: metadata.sqlite in the pipeline root. "
        "The password comes from the environment variable PAREDOWN_METADATA_PASSWORD, or from the variable or "
        "file that ?password_env= or ?password_file= names.",
    )
    seed: int = Field(
        default=42, ge=0, lt=2**31, description="Seed of training, sampling and bootstrap intervals."
    )
    parallel: int | None = Field(
        default=None,
        ge=1,
        description="Number of nodes that run at the same time, each in its own process; 1 runs them one at a time "
        "in one process. Default: the number of cores, limited to one node for each 3 GB of free memory; 1 with a "
        "GPU.",
    )
    beam_args: list[Annotated[str, AfterValidator(_check_flag)]] = Field(
        default=[], description="Apache Beam pipeline options, each as --name=value."
    )


def _check_differ(candidates: dict[str, Chain]) -> dict[str, Chain]:
    seen: dict[str, str] = {}
    for name, chain in candidates.items():
        twin = seen.setdefault(chain.canonical(), name)
        if twin != name:
            raise refused(f"has the same steps and options as {twin!r}; remove one of the two", name)
    return candidates


class _Unwritten(dict[str, Any]):
    """Candidates that the config does not have."""


def _or_searched(
    value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> dict[str, Chain]:
    """Candidates may be left out if there is a search."""
    if not isinstance(value, _Unwritten):
        found: dict[str, Chain] = validate(value)
        return found
    if info.data.get("search", ...) is None:
        raise PydanticKnownError("missing")
    return {}


class Config(Options):
    """One optimization: data, model, candidates, gate, selection, destination."""

    name: Name = Field(description="Name of the pipeline, which identifies its runs and its cache.")
    data: Data
    model: ModelSection
    search: Search | None = Field(
        default=None,
        exclude_if=operator.not_,
        description="A space of candidates for `paredown search`, in place of candidates or beside them.",
    )
    candidates: Annotated[
        dict[Name, Chain], AfterValidator(_check_differ), Field(min_length=1), WrapValidator(_or_searched)
    ] = Field(
        default_factory=_Unwritten,
        validate_default=True,
        description="Name of a candidate → the chain of steps that builds it. Required unless there is a search.",
    )
    gate: Gate
    select: SelectOptions = Field(
        default=SelectOptions(minimize="size"),
        description="How the best of the passing candidates is chosen.",
    )
    push: Push
    run: Run = Run.model_construct()
    kubeflow: KubeflowOptions = Field(
        default=KubeflowOptions.model_construct(),
        description="Settings of the cluster for `paredown compile`.",
    )
    target: TargetSection = Field(
        default=target_section.DEFAULT,
        exclude_if=target_section.DEFAULT.__eq__,
        description="Where the model is deployed, which determines the runtime of the gate: a kind, or a mapping "
        "with the kind and its options, e.g. {kind: microcontroller, ram: 256 kB, flash: 1 MB}. `paredown targets` "
        "lists the kinds.",
    )

    targets: list[TargetEntry] = Field(
        default=[],
        exclude_if=operator.not_,
        description="Several targets in place of one, e.g. [mobile, {kind: microcontroller, ram: 256 kB}, web]. Each "
        "candidate is judged on each that can run it, with a winner each, which is pushed to a folder of "
        "push.directory with the kind's name. An entry may have its own `gate` and `select`.",
    )

    @model_validator(mode="after")
    def _trials_can_be_judged(self) -> Config:
        if self.search is None:
            return self
        unmeasured = [
            name
            for name in self.search.objectives
            if name in ("memory", "flash") and name not in self.target_kind.figures
        ]
        if unmeasured:
            why = f"{unmeasured[0]} is not measured for target: {self.target.kind}; remove it"
            raise refused(why, "search", "objectives")
        if self.data.splits.pattern is not None:
            for name in ("files", "hash_by"):
                if getattr(self.search.tune, name) is not None:
                    why = "data.splits.pattern divides the examples by a hash, and those to tune on as well; remove it"
                    raise refused(why, "search", "tune", name)
        return self

    @model_validator(mode="after")
    def _federated_figures_are_measured(self) -> Config:
        train = self.model.train
        federated_training.refuse(train.federated, self.gate, self.data)
        federated_training.refuse_steps(
            train.federated, self.model.imported is not None, self.with_ends().candidates
        )
        return self

    @model_validator(mode="after")
    def _target_measures_what_is_limited(self) -> Config:
        if self.targets:
            return self  # several_targets.problems, for each of them
        target_section.refuse_unmeasured(self.gate, self.select, self.target)
        target_section.refuse_unpushed(self.push.model_dump(), self.target)
        if self.push.serving is not None:
            target_section.refuse_unnamed(self.push.serving, self.push.directory)
        return self

    @model_validator(mode="after")
    def _repairs_have_limits(self) -> Config:
        for name, chain in self.candidates.items():
            steps = chain.steps()
            step = steps[-1]
            if not isinstance(step, ConvertOptions) or step.limits:
                continue
            limited = any(limit.bounds() for limit in self.held_back_limits)
            asked = "repair" if step.repair is not None else "layer_errors"
            if (step.repair is not None and not limited) or (
                step.layer_errors and not self.held_back_limits
            ):
                raise refused(
                    f"{asked} measures accuracy on training examples, and gate.accuracy has no metric for that; write "
                    "limits: with one beside it, e.g. [{metric: MeanSquaredError, max_ratio: 1.1}]",
                    "candidates",
                    name,
                    len(steps) - 1,
                    "convert",
                    asked,
                )
        return self

    @property
    def target_kind(self) -> Target:
        """The target that the config names."""
        return target_of(self.target)

    @property
    def judged_gate(self) -> Gate:
        """The gate with the default limits of the target."""
        return target_section.gate_on(self.gate, self.target)

    @property
    def baseline_conversion(self) -> ConvertOptions:
        """How the baseline becomes the file that candidates are compared with: as float32, in their shapes."""
        last = (chain.steps()[-1] for chain in self.candidates.values())
        fixed = any(isinstance(step, ConvertOptions) and step.fixed_batch for step in last)
        return ConvertOptions(quantization="float32", fixed_batch=fixed or self.target_kind.fixed_batch)

    def with_defaults(self, step: StepOptions) -> StepOptions:
        """A step with what other sections say in place of what it does not say itself."""
        if isinstance(step, TrainingOptions):
            return step.like(self.model.baseline())
        if isinstance(step, ConvertOptions):
            packed = step.packed_within(self.judged_gate.memory.max).limited_by(self.held_back_limits)
            served = self.push.serving
            saved = {} if served is None else {"saved_model": True, "warmup": served.warmup}
            saved |= {} if self.push.tfjs is None else {"saved_model": True}
            fixed = {"fixed_batch": True} if self.target_kind.fixed_batch else {}
            return packed.model_copy(update={**saved, **fixed})
        return step

    @property
    def held_back_limits(self) -> list[HeldBackLimit]:
        """The metrics of the gate that can be measured on training examples, which have no anomalies."""
        return [figure.held_back() for figure in self.gate.accuracies() if figure.anomaly is None]

    @property
    def push_functions(self) -> list[str]:
        """Dotted paths of what writes files beside the pushed model."""
        asked = self.push.model_dump()
        return [path for option, path in self.target_kind.pushes.items() if asked.get(option)]

    @property
    def push_options(self) -> dict[str, Any]:
        """Dotted path of what writes files beside the pushed model → its options, if it has some."""
        asked = self.push.model_dump(mode="json")
        found = {path: asked.get(option) for option, path in self.target_kind.pushes.items()}
        name = os.path.basename(os.path.abspath(self.push.directory))
        return {
            path: {**options, "name": options.get("name") or name}
            for path, options in found.items()
            if isinstance(options, dict)
        }

    @property
    def push_examples(self) -> list[str]:
        """Dotted paths of what writes an eval example beside the pushed model."""
        asked, kind = self.push.model_dump(), self.target_kind
        return [kind.pushes[option] for option in kind.pushes_example if asked.get(option)]

    @property
    def npu_parameter(self) -> str | None:
        """The NPU that candidates are compiled for, as the parameter of a node; None if there is none."""
        npu = self.target.npu_options
        return None if npu is None else npu.compiled_for().as_parameter(version_or_none(COMPILER) or "")

    def place_of(self, limit: str) -> tuple[str, ...]:
        """Location of a limit of `judged_gate` in the config: in the gate, or as an option of the target."""
        section, figure, *bound = limit.split(".")
        if section == "target":
            return (section, figure, *bound)
        options = {str(name): option for name, option in self.target_kind.limits.items()}
        if figure in options and bound == ["max"] and getattr(self.gate, figure).max is None:
            return ("target", options[figure])
        return (section, figure, *bound)

    @property
    def pipeline_root(self) -> str:
        """Folder of artifacts and logs."""
        return self.run.pipeline_root or f".paredown/{self.name}"

    @property
    def metadata_url(self) -> str:
        """URL of the metadata store, as `pipeline.config.metadata_url.parse` takes it."""
        return self.run.metadata or f"sqlite:///{self.pipeline_root}/metadata.sqlite"

    @property
    def metadata_path(self) -> str | None:
        """File of the metadata store; None if it is on a server."""
        return metadata_url.parse(self.metadata_url).path

    def with_ends(self) -> Config:
        """The same config with the ends of the space as candidates, for what looks at candidates before trials."""
        ends = self.search.space.ends() if self.search else {}
        return self.model_copy(update={"candidates": {**self.candidates, **ends}}) if ends else self

    def only(self, names: list[str]) -> Config:
        """The same config with these candidates only.

        Raises:
            KeyError: If the config has no candidate with one of these names.
        """
        kept = {name: self.candidates[name] for name in dict.fromkeys(names)}
        return self.model_copy(update={"candidates": kept})
