"""A candidate's chain of steps, and which chains work. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, RootModel, create_model, model_validator

from components import registry
from components.common.base.options import Options
from components.common.base.step_options import StepOptions
from components.common.steps.technique import Technique
from components.registry import technique_of
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
                f"a step is one of {', '.join(registry.TECHNIQUES)}, with its options; begin the next step with '-'"
            )
        return self

    def options(self) -> StepOptions:
        """The options of the technique that is set."""
        return getattr(self, next(iter(self.model_fields_set)))


_techniques: dict[str, Any] = {
    name: (
        technique.options,
        Field(default=None, description=(technique.options.__doc__ or "").split("\n")[0]),
    )
    for name, technique in registry.complete().items()
}
Step = create_model("Step", __base__=_OneTechnique, **_techniques)


def _too_late(step: Technique, before: Technique) -> bool:
    """Whether a step cannot follow an earlier one; a step without a stage only has to come before conversion."""
    if step.stage is None or before.stage is None:
        return before.converts
    return step.stage < before.stage


def _check_chain(steps: list[StepOptions]) -> None:
    """Refuses a chain that cannot work, with the reason and the fix.

    Raises:
        PydanticCustomError: With the location of the wrong step.
    """
    techniques = [technique_of(step) for step in steps]
    names = [technique.name for technique in techniques]
    for index, (step, technique) in enumerate(zip(steps, techniques, strict=True)):
        if technique.name in names[:index] and not technique.repeatable:
            raise refused(f"`{technique.name}` is in {names} twice; write it once", index)
        staged = [earlier for earlier in techniques[:index] if earlier.stage is not None]
        if staged and _too_late(technique, staged[-1]):
            before = staged[-1]
            why = before.closes or f"write it before `{before.name}`"
            if technique.builds_new_model:
                why = "it builds a new model, so the effect of earlier steps would be lost; write it first"
            raise refused(f"`{technique.name}` cannot follow `{before.name}`: {why}", index)
        for earlier in steps[:index]:
            try:
                step.check_after(earlier)
            except ValueError as error:
                raise refused(str(error), index) from None
    if not techniques[-1].converts:
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
