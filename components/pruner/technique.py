"""The interface of the `prune` step to the rest of the program."""

from components.common.steps.technique import Advice, Chain, Technique
from components.pruner.invariants import MByN, Sparsity
from components.pruner.params import PruneOptions


def _smaller(chain: Chain) -> str:
    return "" if chain.own else "add prune before"


def _still_smaller(chain: Chain) -> str:
    return "ask for more sparsity" if chain.own else ""


def _more_accurate(chain: Chain) -> str:
    if not chain.own or not chain.own.get("sparsity"):
        return ""
    longer = f"for more than {chain.own['epochs']} epochs" if chain.own["epochs"] else "for more epochs"
    return f"prune less than {chain.own['sparsity']:.0%}, or {longer}"


PRUNE = Technique(
    options=PruneOptions,
    component="components.pruner.component.Pruner",
    explanation="components.pruner.explanation.explain",
    stage=2,
    repeatable=True,
    asynchronous="the workers of a parameter server take steps at different times, and TFMOT counts steps to make "
    "masks",
    invariants=(Sparsity, MByN),
    advice=(
        Advice("gzip_size", 1, _smaller, shown=True),
        Advice("gzip_size", 3, _still_smaller),
        Advice("accuracy", 1, _more_accurate),
    ),
)
