"""A candidate's chain of steps, and which chains work. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, RootModel, create_model, model_validator

from components.common.base.options import Options
from components.common.base.step_options import StepOptions
from components.registry import STEPS
from components.tflite_converter.params import ConvertOptions
from pipeline.config.refused import refused


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
                f"a step is one of {', '.join(STEPS)}, with its options; begin the next step with '-'"
            )
        return self

    def options(self) -> StepOptions:
        """The options of the technique that is set."""
        return getattr(self, next(iter(self.model_fields_set)))


_techniques: dict[str, Any] = {
    technique: (options, Field(default=None, description=(options.__doc__ or "").split("\n")[0]))
    for technique, options in STEPS.items()
}
Step = create_model("Step", __base__=_OneTechnique, **_techniques)


def _too_late(step: StepOptions, before: StepOptions) -> bool:
    """Whether a step cannot follow an earlier one; a step without a stage only has to come before conversion."""
    if step.stage is None or before.stage is None:
        return isinstance(before, ConvertOptions)
    return step.stage < before.stage


def _check_chain(steps: list[StepOptions]) -> None:
    """Refuses a chain that cannot work, with the reason and the fix.

    Raises:
        PydanticCustomError: With the location of the wrong step.
    """
    names = [step.technique for step in steps]
    for index, step in enumerate(steps):
        if step.technique in names[:index] and not step.repeatable:
            raise refused(f"`{step.technique}` is in {names} twice; write it once", index)
        staged = [earlier for earlier in steps[:index] if earlier.stage is not None]
        if staged and _too_late(step, staged[-1]):
            before = staged[-1]
            why = before.keeps or f"`{step.technique}` replaces the model that `{before.technique}` made"
            if step.technique == "distill":
                why = "it builds a new model, so the effect of earlier steps would be lost; write it first"
            raise refused(f"`{step.technique}` cannot follow `{before.technique}`: {why}", index)
        for earlier in steps[:index]:
            try:
                step.check_after(earlier)
            except ValueError as error:
                raise refused(str(error), index) from None
    last = steps[-1]
    if not isinstance(last, ConvertOptions):
        raise refused(
            f"the last step is `{names[-1]}`, but only a TFLite file can be judged and pushed; end the chain with "
            "e.g. `- convert: {quantization: int8}`",
            len(steps) - 1,
        )


class Chain(RootModel[list[Annotated[Step, BeforeValidator(_empty_step)]]]):
    """A candidate: the steps that build it from the baseline; the last one converts."""

    model_config = ConfigDict(defer_build=True)

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
