"""The effect of the `distill` step."""

from __future__ import annotations

from components.common.models.model_files import StepRecord
from components.common.models.user_module import UserModuleError
from components.common.steps.explanation import Explanation, Outlook, Refusal
from components.distiller.error import DistillationError, FeatureError
from components.distiller.executor import refuse_mismatch
from components.distiller.params import DistillOptions


def explain(outlook: Outlook, options: DistillOptions) -> Explanation:
    """Says which layers learn from which; see components.common.steps.explanation."""
    workshop = outlook.workshop
    try:
        student = workshop.build(options.student)
    except UserModuleError as error:
        return Explanation({}, [Refusal("", str(error), "student")], outlook)
    record = StepRecord(steps=outlook.record.steps).after(options)
    after = Outlook(student, record, workshop)
    try:
        refuse_mismatch(outlook.model, student, options, workshop.build("build_model", True))
    except DistillationError as error:
        reason = f"{options.student} does not fit build_model: {error}"
        at_fault = "features" if isinstance(error, FeatureError) else "student"
        return Explanation({}, [Refusal("", reason, at_fault)], after)
    effects = dict.fromkeys(student.output_names, "learns the baseline's outputs")
    effects.update({learner: f"learns the baseline's {of}" for of, learner in options.features.items()})
    return Explanation(effects, [], after)
