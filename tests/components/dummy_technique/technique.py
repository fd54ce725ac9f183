"""What others may ask of the `mirror` step."""

from components.common.steps.technique import Technique
from tests.components.dummy_technique.invariants import Mirrored
from tests.components.dummy_technique.params import MirrorOptions

_HERE = __name__.rpartition(".")[0]

MIRROR = Technique(
    options=MirrorOptions,
    component=f"{_HERE}.component.Mirrorer",
    explanation=f"{_HERE}.explanation.explain",
    stage=3,
    closes="its kernels would not stay symmetric; write the other step before `mirror`",
    asynchronous="kernels are made symmetric again after each step, but workers take theirs at different times",
    invariants=(Mirrored,),
)
