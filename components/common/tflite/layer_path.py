"""The layers of a model that an operator of a TFLite file comes from, by the names of its tensors.

The converter names a tensor after all operations that it fused into the operator that writes it, separated
by `;`. Each is a path: the model, the inner models, wrappers and layers that hold one another, and the
operation, as in `cnn/relu/Relu;cnn/norm/FusedBatchNormV3;cnn/conv/Conv2D`. An operation may itself be a
path, as in `cnn/dense/Tensordot/MatMul`.

A layer goes by its path below the model: `conv`, `inner/conv` for a layer of an inner model or wrapper, and
`stage1/conv` for a layer of that name. What holds a layer of its own name counts as that layer.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from components.common.base.layer_names import plain_name

# Functions of TensorFlow that Keras's layers call and that open a name scope, with the operations in it.
_FUNCTION = re.compile(
    r"separable_conv2d/depthwise\d*|Tensordot/\w+|einsum(_\d+)?/Einsum\d*|Conv1D/\w+|batchnorm/\w+"
    r"|(weighted_)?moments/\w+|Gelu/(mul/|Cast/)?\w+|Reshape/shape|zeros/packed|\w+Quant(ize)?/FakeQuant\w+"
)
# Operations that use a layer's kernel, as Keras names them.
_WITH_KERNEL = re.compile(
    r"(conv\dd(_transpose)?|depthwise|separable_conv2d|matmul|tensordot|einsum|embedding_lookup)",
    re.IGNORECASE,
)

# Name of the tensor that an operator writes, and the name under which a signature returns it, which in Keras
# is that of the layer; the tensor is then called after the function. The second is empty if none returns it.
Written = tuple[str, str]


@dataclass(frozen=True)
class Operation:
    """An operation of the model that was converted.

    Attributes:
        scopes: The layers that hold one another, the innermost last, without what TFMOT's wrappers put before
            their names; empty if the name has none.
        name: Its own name: `Conv2D`, `Tensordot/MatMul`.
    """

    scopes: tuple[str, ...]
    name: str

    def layers(self) -> Iterator[str]:
        """Each of the layers, by its path below the model."""
        for depth in range(1, len(self.scopes) + 1):
            yield "/".join(self.scopes[:depth])


def operations(tensor: str) -> list[Operation]:
    """The operations in the name of a tensor, in the order of the name.

    Args:
        tensor: The name, as the converter gave it.
    """
    return [_operation(parts) for path in tensor.split(";") if (parts := [p for p in path.split("/") if p])]


def _operation(parts: list[str]) -> Operation:
    own = 1
    # A layer may be called like a function; it then comes directly after the model.
    for length in range(2, len(parts) - 1):
        if _FUNCTION.fullmatch("/".join(parts[-length:])):
            own = length
    scopes = parts[:-own]
    # The first is the model, unless an operation has only one: then a layer may have been converted alone.
    layers = scopes[1:] or scopes
    return Operation(tuple(_plain_names(layers)), "/".join(parts[-own:]))


def _plain_names(scopes: Sequence[str]) -> Iterator[str]:
    """Names without wrappers: `quant_conv`, `quant_conv/conv` and `conv/conv`, of InFloat, are the layer `conv`."""
    for scope, inner in itertools.zip_longest(scopes, scopes[1:]):
        name = plain_name(scope)
        if name != inner:
            yield name


def layers_of(written: Iterable[Written]) -> frozenset[str]:
    """All layers that were fused into operators, and the inner models and wrappers that hold them.

    Args:
        written: What the operators write.
    """
    found: set[str] = set()
    for tensor, returned in written:
        found.update(layer for operation in operations(tensor) for layer in operation.layers())
        found.add(plain_name(returned))
    return frozenset(found - {""})


def layer_with_kernel(written: Sequence[Written]) -> str:
    """The layer that owns the kernel, if layers were fused into operators that share it.

    Args:
        written: What the operators write.

    Returns:
        Its path below the model; the name of an operation if there are no layers.
    """
    found = [operation for tensor, _ in written for operation in operations(tensor)]
    inside = [operation for operation in found if operation.scopes]
    with_kernel = [operation for operation in inside if _WITH_KERNEL.match(operation.name)]
    if inside:
        return "/".join((with_kernel or inside)[0].scopes)
    names = [plain_name(returned) for _, returned in written if returned]
    return (names or [operation.name for operation in found] or [""])[-1]
