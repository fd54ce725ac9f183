"""The config: what one YAML file says, validated. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    RootModel,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from components.common.base.step_options import Options, StepOptions
from components.evaluator.params import Gate
from components.registry import STEPS
from components.selector.params import SelectOptions
from components.tflite_converter.params import ConvertOptions
from pipeline.config import metadata_url
from pipeline.config.data_options import Data
from pipeline.config.kubeflow_options import KubeflowOptions
from pipeline.config.model_options import ModelSection

LONGEST_NAME = 40

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def _refusal(message: str, *within: str | int) -> PydanticCustomError:
    """A mistake at a key or index of the value that is being validated.

    A validator's ValueError can only blame the whole value; `pipeline.config.config_file` adds `within` to
    the location.
    """
    return PydanticCustomError("refused", "{message}", {"message": message, "within": within})


def check_name(value: str) -> str:
    """A name of a pipeline or candidate, as it is.

    Raises:
        ValueError: Where Kubernetes would not take it.
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
        raise ValueError(f"{value!r} is no option: write it as --name=value")
    return value


Name = Annotated[str, AfterValidator(check_name)]


class Push(Options):
    """Where the winner goes."""

    directory: str = Field(
        min_length=1, description="Gets one folder per pushed version, named by its time."
    )


class Run(Options):
    """Where and how the pipeline runs."""

    pipeline_root: str | None = Field(
        default=None, description="Artifacts and logs; .paredown/<name> where it is not written."
    )
    metadata: Annotated[str, AfterValidator(_check_metadata)] | None = Field(
        default=None,
        description="ML Metadata store: sqlite:///path, mysql://user@host:port/database, "
        "postgresql://user@host:port/database or grpc://host:port; metadata.sqlite in the pipeline root "
        "where it is not written. The password is in the environment variable "
        "PAREDOWN_METADATA_PASSWORD, or in one or a file that ?password_env= or ?password_file= names.",
    )
    seed: int = Field(default=42, ge=0, lt=2**31, description="Seeds training, sampling, bootstrap.")
    beam_args: list[Annotated[str, AfterValidator(_check_flag)]] = Field(
        default=[], description="Apache Beam pipeline options, each as --name=value."
    )


def _empty_step(value: Any) -> Any:
    """`- qat:` with nothing after it means `- qat: {}`."""
    if isinstance(value, dict):
        return {key: {} if options is None else options for key, options in value.items()}
    return value


class _OneTechnique(Options):
    """A step: the technique's name and its options."""

    @model_validator(mode="after")
    def _exactly_one(self) -> _OneTechnique:
        if len(self.model_fields_set) != 1:
            raise ValueError(
                f"a step is one of {', '.join(STEPS)} with its options; begin the next step with '-'"
            )
        return self

    def options(self) -> StepOptions:
        """The options of the technique that is set."""
        return getattr(self, next(iter(self.model_fields_set)))


Step = create_model(
    "Step",
    __base__=_OneTechnique,
    **{
        technique: (
            options,
            Field(default=None, description=(options.__doc__ or "").split("\n")[0]),
        )
        for technique, options in STEPS.items()
    },
)


def _too_late(step: StepOptions, before: StepOptions) -> bool:
    """Whether a step's stage is over after an earlier one; a step without a stage only has to train."""
    if step.stage is None:
        return isinstance(before, ConvertOptions)
    return step.stage < before.stage


def _check_chain(steps: list[StepOptions]) -> None:
    """Refuses a chain that cannot work, with the reason and the fix.

    Raises:
        PydanticCustomError: Naming the step at fault.
    """
    names = [step.technique for step in steps]
    for index, step in enumerate(steps):
        if step.technique in names[:index] and not step.repeatable:
            raise _refusal(f"`{step.technique}` stands twice in {names}; a chain has it once", index)
        staged = [earlier for earlier in steps[:index] if earlier.stage is not None]
        if staged and _too_late(step, staged[-1]):
            before = staged[-1]
            why = before.keeps or f"`{step.technique}` replaces the model that `{before.technique}` made"
            if step.technique == "distill":
                why = "it builds a new model, so what came before would be lost; write it first"
            raise _refusal(f"`{step.technique}` cannot follow `{before.technique}`: {why}", index)
        for earlier in steps[:index]:
            try:
                step.check_after(earlier)
            except ValueError as error:
                raise _refusal(str(error), index) from None
    last = steps[-1]
    if not isinstance(last, ConvertOptions):
        raise _refusal(
            f"the last step is `{names[-1]}`, but only a TFLite file can be judged and pushed; end "
            "the chain with e.g. `- convert: {quantization: int8}`",
            len(steps) - 1,
        )


class Chain(RootModel[list[Annotated[Step, BeforeValidator(_empty_step)]]]):
    """A candidate: the steps that make it from the baseline; the last one converts."""

    root: list[Annotated[Step, BeforeValidator(_empty_step)]] = Field(min_length=1)

    @model_validator(mode="after")
    def _works(self) -> Chain:
        _check_chain(self.steps())
        return self

    def steps(self) -> list[StepOptions]:
        """The options of every step, in order."""
        return [step.options() for step in self.root]

    def canonical(self) -> str:
        """The chain as text that is equal for equal chains."""
        return "|".join(f"{step.technique}{step.canonical_json()}" for step in self.steps())


def _check_differ(candidates: dict[str, Chain]) -> dict[str, Chain]:
    seen: dict[str, str] = {}
    for name, chain in candidates.items():
        twin = seen.setdefault(chain.canonical(), name)
        if twin != name:
            raise _refusal(f"has the same steps and options as {twin!r}; remove one of the two", name)
    return candidates


class Config(Options):
    """One optimization: data, model, candidates, gate, selection, destination."""

    name: Name = Field(description="Of the pipeline: its runs and its cache go by it.")
    data: Data
    model: ModelSection
    candidates: Annotated[dict[Name, Chain], AfterValidator(_check_differ)] = Field(
        min_length=1, description="Name of a candidate → the chain of steps that makes it."
    )
    gate: Gate
    select: SelectOptions = Field(
        default=SelectOptions(minimize="size"), description="Which passing candidate wins."
    )
    push: Push
    run: Run = Run()
    kubeflow: KubeflowOptions = Field(
        default=KubeflowOptions(), description="What `paredown compile` needs to know of the cluster."
    )

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
        """File of the metadata store; None where it is on a server."""
        return metadata_url.parse(self.metadata_url).path

    def only(self, names: list[str]) -> Config:
        """The same config with no other candidates than these.

        Raises:
            KeyError: Where the config has no candidate of a name.
        """
        kept = {name: self.candidates[name] for name in dict.fromkeys(names)}
        return self.model_copy(update={"candidates": kept})
