"""A Keras file, read from its JSON and HDF5 without loading it or importing TensorFlow."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from components.common.base.layer_names import plain_name
from components.common.models import hdf5_bounds, model_format, named_code
from components.common.models.model_format_error import ModelFormatError
from pipeline.inspection import weights
from pipeline.inspection.contents import (
    KERAS,
    Inspection,
    InspectionError,
    Port,
    Signature,
    sizes,
    sorted_counts,
)

_Json = dict[str, object]
_Shape = tuple[int | None, ...] | None
# Layers whose output has their input's shape.
_SAME_SHAPE = re.compile(
    r"Activation|.*Dropout|.*Normalization|.*ReLU|ELU|Softmax|Gaussian.*|Identity|Masking|Rescaling"
)
# In .keras files, variables are known by their number.
_VARIABLES = {
    **dict.fromkeys(("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D"), ("kernel", "bias")),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), ("kernel", "bias")),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), ("depthwise_kernel", "bias")),
    **dict.fromkeys(
        ("SeparableConv1D", "SeparableConv2D"), ("depthwise_kernel", "pointwise_kernel", "bias")
    ),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), ("kernel", "recurrent_kernel", "bias")),
    "Embedding": ("embeddings",),
}


@dataclass(frozen=True)
class _Leaf:
    """A layer that is not a model.

    Attributes:
        name: With the names of the models that hold it, without TFMOT's wrapper.
        kind: Its class.
        stored: Names of the models that hold it and of itself, as HDF5 has them.
        group: Where a .keras file has its weights.
    """

    name: str
    kind: str
    stored: tuple[str, ...]
    group: str


def inspect_keras(path: Path) -> Inspection:
    """Reads a Keras file.

    Raises:
        InspectionError: If it is not one, or is damaged.
    """
    try:
        found = model_format.recognise(path)
        if found.kind not in (model_format.HDF5, model_format.KERAS):
            raise InspectionError(
                "holds weights without a model, so it is not known which layers they are of"
            )
        return _inspect(path, found)
    except ModelFormatError as error:
        raise InspectionError(str(error)) from error
    except (*hdf5_bounds.DAMAGED, *model_format.UNZIPPABLE) as error:
        raise InspectionError(f"is a damaged Keras file ({error}); fetch or save it again") from error


def _inspect(path: Path, found: model_format.ModelFormat) -> Inspection:
    if found.kind == model_format.HDF5:
        with h5py.File(path, "r") as file:
            text = file.attrs["model_config"]
            model = named_code.parse(text, "model_config")
            leaves = list(_leaves(_config(model)))
            read = _read_hdf5(file, leaves)
    else:
        with zipfile.ZipFile(path) as archive:
            model = named_code.parse(archive.read("config.json"), "config.json")
            content = archive.read("model.weights.h5")  # its size was checked
        with h5py.File(io.BytesIO(content), "r") as file:
            hdf5_bounds.check(file, len(content))
            leaves = list(_leaves(_config(model)))
            read = {leaf: _read_group(file, leaf) for leaf in leaves}
    graph = _Graph(_config(model))
    outputs = graph.outputs()
    return Inspection(
        str(path),
        KERAS,
        *sizes(path),
        parameters=weights.count(weight for own in read.values() for weight in own),
        signatures={"call": Signature(graph.inputs(), outputs)},
        operators=sorted_counts(leaf.kind for leaf in leaves),
        layers=[weights.layer(leaf.name, leaf.kind, own) for leaf, own in read.items() if own],
        code=list(found.executes),
        needs_load=[f"shape of output {name}" for name, port in outputs.items() if port.shape is None],
    )


def _config(model: object) -> _Json:
    """Reads a model's `config`; a Sequential model of old files is a list of layers."""
    config = model.get("config") if isinstance(model, dict) else None
    if isinstance(config, list):
        config = {"layers": config}
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise InspectionError(
            "holds a subclassed model, whose layers are not in the file; inspect its SavedModel instead"
        )
    return config


def _entries(config: _Json) -> Iterator[tuple[_Json, str, str, _Json]]:
    """Entry, name, class and config of each layer."""
    layers = config["layers"]
    assert isinstance(layers, list)
    for entry in layers:
        inner = entry.get("config") if isinstance(entry, dict) else None
        inner = {"layers": inner} if isinstance(inner, list) else inner
        if not isinstance(inner, dict):
            raise ModelFormatError(
                "is a damaged Keras file (a layer has no config); fetch or save it again"
            )
        name = entry.get("name") or inner.get("name")
        yield entry, str(name), str(entry.get("class_name")).rpartition(">")[2], inner


def _leaves(
    config: _Json, prefix: str = "", stored: tuple[str, ...] = (), group: str = "layers"
) -> Iterator[_Leaf]:
    """The layers of a model and of those in it, in order; inputs are left out."""
    used: Counter[str] = Counter()
    for _, name, kind, inner in _entries(config):
        snake = _snake_case(kind)
        number = used[snake]
        used[snake] += 1
        place = f"{group}/{snake}_{number}" if number else f"{group}/{snake}"
        if isinstance(inner.get("layers"), list):
            if len(stored) > 50:
                raise ModelFormatError("has models nested more than 50 deep; save it again")
            yield from _leaves(inner, f"{prefix}{plain_name(name)}/", (*stored, name), f"{place}/layers")
        elif kind != "InputLayer":
            own, own_kind = _inside(name, kind, inner)
            yield _Leaf(prefix + own, own_kind, (*stored, name), place)


def _inside(name: str, kind: str, config: _Json) -> tuple[str, str]:
    """Name and class of the layer in a wrapper of TFMOT; those of other layers as they are."""
    layer = config.get("layer")
    if weights.WRAPPER_SCOPE.match(name) and isinstance(layer, dict):
        inner = layer.get("config")
        if isinstance(inner, dict) and "name" in inner:
            return str(inner["name"]), str(layer.get("class_name")).rpartition(">")[2]
    return name, kind


def _snake_case(name: str) -> str:
    """As Keras names the groups of .keras files: tf_keras.src.utils.generic_utils.to_snake_case."""
    name = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()
    return f"private{name}" if name.startswith("_") else name


def _read_hdf5(file: h5py.File, leaves: list[_Leaf]) -> dict[_Leaf, list[weights.Weight]]:
    """Weights of each layer; those of a model's layers are in the model's group."""
    read: dict[_Leaf, list[weights.Weight]] = {leaf: [] for leaf in leaves}
    root = file.get("model_weights", file)
    for top in dict.fromkeys(leaf.stored[0] for leaf in leaves):
        group = root.get(top)
        if not isinstance(group, h5py.Group):
            continue
        inside = [leaf for leaf in leaves if leaf.stored[0] == top]
        for label in group.attrs.get("weight_names", ()):
            name = label.decode(errors="replace") if isinstance(label, bytes) else str(label)
            parts = name.split("/")
            owner = next((leaf for leaf in inside if leaf.stored[-1] in parts), inside[0])
            read[owner].append(weights.Weight(name, np.asarray(group[name])))
    return {leaf: weights.own(own) for leaf, own in read.items()}


def _read_group(file: h5py.File, leaf: _Leaf) -> list[weights.Weight]:
    found: list[weights.Weight] = []
    group = file.get(leaf.group)
    names = _VARIABLES.get(leaf.kind, ())

    def look(place: str, value: object) -> None:
        *scopes, number = place.split("/")
        if isinstance(value, h5py.Dataset) and scopes[-1:] == ["vars"] and "seed_generator" not in place:
            own = scopes in (["vars"], ["cell", "vars"]) and number.isdecimal() and int(number) < len(names)
            name = names[int(number)] if own else place
            found.append(weights.Weight(f"{leaf.stored[-1]}/{name}", np.asarray(value)))

    if isinstance(group, h5py.Group):
        group.visititems(look)
    return found


class _Graph:
    """Inputs and outputs of a model, and shapes as far as they follow from its config."""

    def __init__(self, config: _Json):
        self._config = config
        self._layers = {name: (entry, kind, inner) for entry, name, kind, inner in _entries(config)}
        self._order = list(self._layers)
        self._functional = "input_layers" in config or "output_layers" in config

    def inputs(self) -> dict[str, Port]:
        """Name → port of each input."""
        if self._functional:
            return {name: self._port(name) for name in _named(self._config.get("input_layers"))}
        first = self._order[0] if self._order else ""
        if not first:
            return {}
        name = first if self._layers[first][1] == "InputLayer" else f"{first}_input"
        return {name: Port(_batch_shape(self._layers[first][2]), _dtype(self._layers[first][2]))}

    def outputs(self) -> dict[str, Port]:
        """Name → port of each output; the shape is None if only a loaded model has it."""
        names = _named(self._config.get("output_layers")) if self._functional else self._order[-1:]
        return {plain_name(name): self._port(name) for name in names}

    def _port(self, name: str) -> Port:
        return Port(
            self._shape(name, 0), _dtype(self._layers[name][2]) if name in self._layers else "float32"
        )

    def _shape(self, name: str | None, depth: int) -> _Shape:
        if name not in self._layers or depth > 500:
            return None
        entry, kind, config = self._layers[name]
        layer = config.get("layer")
        if weights.WRAPPER_SCOPE.match(name) and isinstance(layer, dict):
            kind, config = str(layer.get("class_name")), layer.get("config") or {}
        if kind == "InputLayer":
            return _batch_shape(config)
        before = self._shape(self._before(name, entry), depth + 1) or _batch_shape(config)
        units = config.get("units")
        if kind == "Dense" and before and isinstance(units, int):
            return (*before[:-1], units)
        if kind == "Flatten":
            known = [size for size in before[1:] if size is not None] if before else []
            whole = before is not None and len(known) == len(before) - 1
            return (before[0] if before else None, math.prod(known) if whole else None)
        if re.fullmatch(r"Global(Average|Max)Pooling\dD", kind) and not config.get("keepdims"):
            return (before[0], before[-1]) if before else (None, None)
        return before if _SAME_SHAPE.fullmatch(kind) or kind == "QuantizeLayer" else None

    def _before(self, name: str, entry: _Json) -> str | None:
        """The layer that a layer takes its only input from."""
        if not self._functional:
            position = self._order.index(name)
            return self._order[position - 1] if position else None
        names = _named(entry.get("inbound_nodes"))
        return names[0] if len(names) == 1 else None


def _named(value: object) -> list[str]:
    """Names of the layers in lists of [name, node, tensor, …]."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [value[0]]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [name for part in parts if isinstance(part, list | dict) for name in _named(part)]


def _batch_shape(config: _Json) -> _Shape:
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    if isinstance(shape, dict):  # {"class_name": "__tuple__", "items": […]}
        shape = shape.get("items")
    if not isinstance(shape, list) or not all(size is None or isinstance(size, int) for size in shape):
        return None
    return tuple(shape)


def _dtype(config: _Json) -> str:
    """The type that a layer computes in; a mixed policy gives its variables another one."""
    dtype = config.get("dtype")
    if isinstance(dtype, dict):
        inner = dtype.get("config")
        dtype = inner.get("name") if isinstance(inner, dict) else None
    return str(dtype or "float32").removeprefix("mixed_")
