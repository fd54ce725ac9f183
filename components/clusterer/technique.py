"""The interface of the `cluster` step to the rest of the program."""

from components.clusterer.invariants import Clusters
from components.clusterer.params import ClusterOptions
from components.common.steps.technique import Advice, Chain, Technique


def _smaller(chain: Chain) -> str:
    return "" if chain.own else "add cluster after prune"


def _still_smaller(chain: Chain) -> str:
    return "ask for fewer clusters" if chain.own else ""


def _more_accurate(chain: Chain) -> str:
    return f"use more than {chain.own['clusters']} clusters" if chain.own else ""


CLUSTER = Technique(
    options=ClusterOptions,
    component="components.clusterer.component.Clusterer",
    explanation="components.clusterer.explanation.explain",
    stage=3,
    closes="its values would not stay few; write the other step before `cluster`",
    asynchronous="the workers of a parameter server take steps at different times, and values stay shared only if "
    "they are restored after each step",
    invariants=(Clusters,),
    advice=(
        Advice("gzip_size", 2, _smaller, shown=True),
        Advice("gzip_size", 3, _still_smaller),
        Advice("accuracy", 2, _more_accurate),
    ),
)
