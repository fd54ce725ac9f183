"""A SavedModel, read from its files without loading it or importing TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.common.models import checkpoint_file, model_format, saved_model_file
from pipeline.inspection import weights
from pipeline.inspection.contents import (
    PLUMBING,
    SAVED_MODEL,
    Inspection,
    InspectionError,
    Port,
    Signature,
    sizes,
    sorted_counts,
)


def inspect_saved_model(path: Path) -> Inspection:
    """Reads saved_model.pb and the index of the variables.

    Raises:
        InspectionError: If they are damaged, or hold operators that must not run.
    """
    try:
        found = model_format.recognise(path)
        refuse_operators(found)
        graph = saved_model_file.read(path)
        prefix = path / "variables" / "variables"
        stored = checkpoint_file.variables(prefix) if prefix.with_suffix(".index").is_file() else []
    except model_format.ModelFormatError as error:
        raise InspectionError(str(error)) from error
    unread = [variable.name for variable in stored if variable.values is None]
    read = (weights.Weight(v.name, np.asarray(v.values)) for v in stored if v.values is not None)
    layers = weights.by_scope(read)
    return Inspection(
        str(path),
        SAVED_MODEL,
        *sizes(path),
        parameters=sum(layer.parameters for layer in layers),
        signatures={
            name: Signature(_ports(signature.inputs), _ports(signature.outputs))
            for name, signature in graph.signatures.items()
        },
        operators=sorted_counts(operator for operator in graph.operators if operator not in PLUMBING),
        layers=layers,
        code=list(found.executes),
        needs_load=[f"values of {name}" for name in unread],
    )


def refuse_operators(found: model_format.ModelFormat) -> None:
    """Raises an InspectionError for a SavedModel with operators that must not run, loaded or not."""
    if found.forbidden:
        fault = model_format.code_fault(found, advice="do not load it")
        raise InspectionError(str(fault))


def _ports(tensors: dict[str, saved_model_file.TensorInfo]) -> dict[str, Port]:
    return {name: Port(tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
