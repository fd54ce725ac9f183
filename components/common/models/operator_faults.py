"""Operators whose results differ from one prediction to the next, by name. Imports no TensorFlow.

Such a model cannot be judged: the deployed file would not predict what the gate measured. A seed does not help, since
each call draws the next numbers, and files on other runtimes draw other ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.common.models.named_code import objects

RANDOM = re.compile(
    r"(Stateless|Stateful|Risc)?Random(?!Dataset)\w+|Stateful(Uniform|StandardNormal|TruncatedNormal)\w*"
    r"|Stateless(TruncatedNormal|Multinomial|Shuffle|ParameterizedTruncatedNormal|SampleDistorted)\w*"
    r"|Multinomial|(Parameterized)?TruncatedNormal|\w*CandidateSampler|Fractional(Avg|Max)Pool"
    r"|SampleDistortedBoundingBox\w*|NonDeterministicInts|Rng(ReadAndSkip|Skip)|Skipgram|XlaRngBitGenerator"
    r"|StochasticCastToInt|Timestamp"
)
CHANGING = re.compile(
    r"Assign\w*|Resource(Apply|SparseApply|Scatter|StridedSliceAssign|CountUpTo|Accumulator)\w*|CountUpTo"
    r"|Scatter(Add|Div|Max|Min|Mul|Sub|Update|NdAdd|NdMax|NdMin|NdSub|NdUpdate)"
    r"|LookupTable(Insert|Remove|Import)\w*|Queue(Enqueue|Dequeue)\w*|(Ordered)?Map(Stage|Unstage)\w*|(Uns|S)tage"
)
# Functions of TensorFlow that a layer may call by name: `random.normal`, `nn.dropout`, `image.random_flip_up_down`.
_RANDOM_FUNCTIONS = re.compile(
    r"(.+\.)?random(\..+|_\w+)|(.+\.)?(stateless_\w+|dropout\w*|fractional_\w+_pool\w*|\w*candidate_sampler)"
)
_LONGEST_NAME = 100


def fault(operator: str) -> str:
    """The fault of an operator that a model must not have when it predicts; empty if there is none."""
    if RANDOM.fullmatch(operator):
        return "draws random numbers when it predicts"
    return "keeps values from one prediction to the next" if CHANGING.fullmatch(operator) else ""


def message(layer: str, fault: str, operator: str) -> str:
    """The sentence about a model.

    Args:
        layer: Name of the layer; empty if it is not known.
        fault: As `fault` returns it.
        operator: The operator, or how the layer says it.
    """
    who = f"layer {layer[:_LONGEST_NAME]!r}" if layer else "the model"
    fix = (
        "remove it, or let it act only in training"
        if "random" in fault
        else "write stateful=False, or change variables only in training"
    )
    return f"{who} {fault} ({operator[:_LONGEST_NAME]}), so a file would not predict what the gate measured; {fix}"


def in_config(*configs: object) -> str:
    """The same of the JSON of a Keras model, as far as it says; empty if nothing was found."""
    return next((found for config in configs for found in _in_config(config)), "")


def _in_config(config: object) -> Iterator[str]:
    for entry in objects(config):
        options = entry.get("config")
        if not isinstance(options, dict):
            continue
        name = str(options.get("name", ""))
        if options.get("stateful") is True:
            yield message(name, fault("AssignVariableOp"), "stateful: true")
        function = options.get("function")
        if entry["class_name"] != "TFOpLambda" or not isinstance(function, str):
            continue
        if _RANDOM_FUNCTIONS.fullmatch(function):
            yield message(name, fault("RandomUniform"), f"tf.{function}")
