"""The interface of the `qat` step to the rest of the program."""

from components.common.steps.technique import Advice, Chain, Technique
from components.quantization_aware_trainer.params import QatOptions


def _add(chain: Chain) -> str:
    return "add qat before convert" if not chain.own and chain.quantization in ("int8", "dynamic") else ""


def _longer(chain: Chain) -> str:
    return f"train `qat` for more than {chain.own['epochs']} epochs" if chain.own else ""


QAT = Technique(
    options=QatOptions,
    component="components.quantization_aware_trainer.component.QuantizationAwareTrainer",
    explanation="components.quantization_aware_trainer.explanation.explain",
    stage=4,
    closes="its fake-quantization wrappers cannot be wrapped again; write the other step before `qat`, which "
    "preserves what it achieved",
    asynchronous="the workers of a parameter server take steps at different times, and TFMOT's moving ranges of "
    "activations are updated by all of them together",
    advice=(
        Advice("accuracy", 3, _add),
        Advice("accuracy", 4, _longer),
    ),
)
