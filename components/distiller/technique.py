"""The interface of the `distill` step to the rest of the program."""

from components.common.steps.technique import Advice, Chain, Technique
from components.distiller.params import DistillOptions


def _smaller(chain: Chain) -> str:
    why = "" if chain.own else " (zeros and shared values only make the compressed file smaller)"
    return f"distill a smaller student{why}"


def _first(_: Chain) -> str:
    return "distill a smaller student first"


def _faster(_: Chain) -> str:
    return "distill a smaller student"


def _more_accurate(chain: Chain) -> str:
    if not chain.own:
        return ""
    return f"give the student more layers or units, or distill for more than {chain.own['epochs']} epochs"


DISTILL = Technique(
    options=DistillOptions,
    component="components.distiller.component.Distiller",
    explanation="components.distiller.explanation.explain",
    stage=0,
    builds_new_model=True,
    advice=(
        Advice("size", 1, _smaller),
        Advice("gzip_size", 3, _first),
        Advice("latency", 1, _faster),
        Advice("accuracy", 0, _more_accurate),
    ),
)
