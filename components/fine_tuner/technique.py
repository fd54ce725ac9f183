"""The interface of the `fine_tune` step to the rest of the program."""

from components.common.steps.technique import Advice, Chain, Technique
from components.fine_tuner.params import FineTuneOptions


def _longer(chain: Chain) -> str:
    return f"train `fine_tune` for more than {chain.own['epochs']} epochs" if chain.own else ""


FINE_TUNE = Technique(
    options=FineTuneOptions,
    component="components.fine_tuner.component.FineTuner",
    explanation="components.fine_tuner.explanation.explain",
    stage=None,
    repeatable=True,
    advice=(Advice("accuracy", 5, _longer),),
)
