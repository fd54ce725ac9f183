"""The baseline before a run: whether the data feed it, and whether it can be trained, converted and judged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.common.base.label import SAME_AS_INPUT, features_of
from components.common.base.texts import listed
from components.common.data import class_weights, vocabulary
from components.common.data.class_weights import ClassWeightsError
from components.common.data.model_inputs import ExamplesError, match_features, refuse_changed_names
from components.common.data.vocabulary import VocabularyError
from components.common.models.pretrained import PretrainedError
from components.common.models.user_module import UserModuleError
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.explanation import reason
from components.trainer import stages
from pipeline.checks import column_types, federated_preflight, output_preflight
from pipeline.checks.data_preflight import DataFacts
from pipeline.config.config import Config
from pipeline.config.pretrained_options import PretrainedOptions
from pipeline.config.problem import Location, Problem
from pipeline.explain.explanation import Explainer
from pipeline.plan import data_files, image_nodes


@dataclass(frozen=True)
class Surroundings:
    """The parts of a config that the baseline has to fit.

    Attributes:
        config: The config.
        data: What is known of the examples.
        transforms: Whether a preprocessing_fn makes other features of them.
    """

    config: Config
    data: DataFacts
    transforms: bool

    @property
    def origin(self) -> Location:
        """Location of what the baseline comes from."""
        return ("model", "import" if self.config.model.imported else "module")

    def features(self) -> dict[str, int] | None:
        """Feature that models get → number of its values; None if that is not known before the run."""
        return None if self.transforms else self.data.features


def check(around: Surroundings, explainer: Explainer) -> list[Problem]:
    """Builds the baseline as training will, and looks at it."""
    try:
        model = explainer.baseline()
        _refuse_trunk(around.config, explainer, model)
    except PretrainedError as error:
        return [Problem(str(error), _place_of(around.config, error.option))]
    except UserModuleError as error:
        return [Problem(str(error), around.origin)]
    try:
        refuse_changed_names(model.input_names)
    except ExamplesError as error:
        return [Problem(str(error), around.origin)]
    if around.config.data.label == SAME_AS_INPUT and (wrong := _not_alike(model)):
        return [Problem(wrong, ("data", "label"))]
    lengths = list(_check_lengths(around, model))
    if lengths:
        return lengths  # TFLite would only report the same mistake again
    imported = around.config.model.imported
    made = "the imported model is one" if imported else "build_model returned a model"
    return [
        *_check_inputs(around, model),
        *_check_label(around, model),
        *([] if around.transforms else column_types.check_labels(around.data, around.config.data, model)),
        *output_preflight.check(around.config, model, _label_widths(around), around.origin, made),
        *_check_conversion(around, explainer, model),
        *federated_preflight.check(around.config, model, around.features()),
    ]


def _not_alike(model: Any) -> str:
    """Why a model cannot learn to give what it gets; empty if it can."""
    one = len(model.inputs) == len(model.outputs) == 1
    if one and math.prod(size or 0 for size in model.input_shape[1:]) == math.prod(
        size or 0 for size in model.output_shape[1:]
    ):
        return ""
    return (
        "same_as: input needs a model with one input and one output of as many values, but this one has "
        f"{[tuple(tensor.shape[1:]) for tensor in model.inputs]} and "
        f"{[tuple(tensor.shape[1:]) for tensor in model.outputs]}; write a feature as label"
    )


def _refuse_trunk(config: Config, explainer: Explainer, model: Any) -> None:
    """Freezes and unfreezes the pretrained layers as training will.

    Raises:
        PretrainedError: If that does not work.
    """
    trunk = explainer.definition.trunk_of(model)
    if trunk is None:
        return
    try:
        stages.check(trunk, config.model.train)
    finally:
        trunk.release()


def _place_of(config: Config, option: str) -> Location:
    """Location of an option of a pretrained model."""
    if not option:
        return ("model", "module")
    if option not in PretrainedOptions.model_fields:
        return ("model", "train", "stages" if config.model.train.stages else option)
    return ("model", "pretrained", option)


def _check_lengths(around: Surroundings, model: Any) -> Iterator[Problem]:
    """Refuses inputs without fixed sizes: a TFLite file has memory for tensors of fixed sizes."""
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        shape = tuple(tensor.shape[1:])
        if None in shape:
            count = (around.features() or {}).get(name)
            yield Problem(
                f"the model's input {name!r} has shape {shape}, but TFLite files take a fixed number of values per "
                f"example; {_fixed(around.config, name, shape, count)}",
                around.origin,
            )


def _fixed(config: Config, name: str, shape: tuple[int | None, ...], count: int | None) -> str:
    """How to give an input fixed sizes, with the missing one if an example's number of values says it."""
    known = math.prod(size for size in shape if size)
    whole = count and shape.count(None) == 1 and known and count % known == 0
    missing = str(count // known) if count and whole else "N"
    filled = ", ".join(missing if size is None else str(size) for size in shape)
    fixed = f"({filled},)" if len(shape) == 1 else f"({filled})"
    if config.model.imported:
        return f"save the model with an input of shape {fixed}"
    pretrained = config.model.pretrained
    if pretrained is None:
        return f"write tf_keras.Input({fixed}, name={name!r}), and pad shorter examples to that size"
    if pretrained.application:
        return "write input_shape in model.pretrained.options"
    return f"save the pretrained model with an input of shape {fixed}"


def _check_inputs(around: Surroundings, model: Any) -> Iterator[Problem]:
    features, label = around.features(), around.config.data.label
    if features is None or not set(features_of(label)) <= set(features):
        return
    try:
        fed = match_features(list(model.input_names), sorted(features), label)
    except ExamplesError as error:
        yield Problem(_unfed(around, model) or str(error), around.origin)
        return
    for name in sorted(set(fed.values()) & set(around.data.missing)):
        yield Problem(
            f"the model's input {name!r} has {around.data.missing[name]}; models take a value in every example, so "
            "fill them in, or write a preprocessing_fn(inputs) that does",
            around.origin,
        )
    for name in sorted(set(fed.values()) & set(around.data.ragged)):
        yield Problem(
            f"the model's input {name!r} has {around.data.ragged[name]}; models take the same number of values in "
            "every example, so pad or cut them in the files, or write a preprocessing_fn(inputs) that does",
            around.origin,
        )
    yield from column_types.check_inputs(around.data, model, fed)
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        shape, count = tuple(tensor.shape[1:]), features[fed[name]]
        if count and math.prod(shape) != count:
            yield Problem(
                f"feature {fed[name]!r} has {count} values in the first record, which do not fit the model's input "
                f"{name!r} of shape {shape}",
                around.origin,
            )


def _unfed(around: Surroundings, model: Any) -> str:
    """The fix if inputs of an imported model are not features; empty if the model is not imported."""
    imported = around.config.model.imported
    if imported is None:
        return ""
    features = sorted(set(around.features() or ()) - set(features_of(around.config.data.label)))
    named = {new: name for name, new in imported.inputs.items()}
    missing = [named.get(name, name) for name in model.input_names if name not in features]
    return (
        f"the model's inputs are {[named.get(name, name) for name in model.input_names]} and the features of "
        f"the data {features}; write which feature feeds each: "
        f"inputs: {{{', '.join(f'{name}: …' for name in missing)}}}"
    )


def _check_label(around: Surroundings, model: Any) -> Iterator[Problem]:
    """Refuses a model without an output for each class, or whose loss takes no class weights."""
    data = around.config.data
    if len(model.outputs) != 1:  # the config has neither classes nor class weights then
        return
    names: list[str] = data.class_names()
    if data.format == "images":
        names = image_nodes.classes(data, data_files.trained_files(data))
    if around.config.model.imported and data.classes is None and names != sorted(names):
        yield Problem(
            f"is missing: folders {listed(names)} could be in this order or, as text, in the order "
            f"{listed(sorted(names))}, and only you know the order of the imported model's outputs; write classes: "
            "[...] with each name in quotes",
            ("data", "classes"),
        )
    try:
        if names:
            vocabulary.refuse_other_outputs(names, model.output_shape)
    except VocabularyError as error:
        yield Problem(str(error), around.origin)
    try:
        if data.class_weights is not None:
            class_weights.refuse_other_tasks(model)
    except ClassWeightsError as error:
        yield Problem(str(error), ("data", "class_weights"))


def _label_widths(around: Surroundings) -> dict[str, int]:
    """Label → number of its values in an example, if it is known before the run."""
    features = around.features() or {}
    return {name: features[name] for name in features_of(around.config.data.label) if features.get(name)}


def _check_conversion(around: Surroundings, explainer: Explainer, model: Any) -> Iterator[Problem]:
    try:
        explainer.workshop.float_file(model)
    except ConversionError as error:
        imported = around.config.model.imported
        what = "imported model" if imported else "model that build_model returns"
        yield Problem(f"TFLite cannot hold the {what}: {reason(error)}", around.origin)
