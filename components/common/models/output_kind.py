"""The kinds of outputs of a compiled model, and the labels and metrics that fit them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tf_keras

from components.common.base.layer_names import plain_name
from components.common.base.metric_facts import METRICS, Takes
from components.common.data.losses import MULTICLASS, MULTILABEL, REGRESSION, TASKS, keras_function, task_of
from components.common.data.one_hot import OF_PROBABILITIES

PROBABILITIES = {"softmax": MULTICLASS, "sigmoid": MULTILABEL}
# Layers that hand on what their input went through.
_PASSING = ("Reshape", "Flatten", "Permute", "Dropout")

_SPARSE_LOSS = "sparse_categorical_crossentropy"
# Metric of the k most probable classes → its default k.
TOP_K_METRICS = {"SparseTopKCategoricalAccuracy": 5, "TopKCategoricalAccuracy": 5}
# Metrics that take values of any size, though labels are classes.
_OF_MARGINS = ("Hinge", "SquaredHinge", "CategoricalHinge")
# Metrics of overlaps whose labels are indices of classes unless sparse_y_true is false.
_OVERLAPS = ("IoU", "MeanIoU")
# What compares value by value; Keras broadcasts: a label of one value would be compared with each of ten outputs.
_BY_VALUE = (Takes.ONE_HOT, Takes.PROBABILITIES, Takes.VALUES)


@dataclass(frozen=True)
class OutputKind:
    """An output of a model.

    Attributes:
        name: Name of the output, which is that of its layer.
        shape: Without the batch dimension.
        loss: Name of Keras's function that it is compiled with; empty if it is none of Keras's own.
        task: multiclass, multilabel or regression, as the loss says; None if it does not.
        end: Name of the activation that it went through; None if the last layer has none.
        trained: Whether it has a loss at all, or will get one: an imported model need not be compiled.
    """

    name: str
    shape: tuple[int | None, ...]
    loss: str
    task: str | None
    end: str | None
    trained: bool

    @property
    def is_regression(self) -> bool:
        """Whether it is plain values: a squared error can train probabilities, too."""
        return self.task == REGRESSION and self.end not in PROBABILITIES

    def label_misfit(self, label: str, width: int) -> str | None:
        """Why a label does not fit it, and what to write instead; None if it does, as far as is known.

        Args:
            label: The feature.
            width: Number of its values in an example.
        """
        shape = [size for size in self.shape if size is not None]
        if not self.loss or not shape or len(shape) < len(self.shape):
            return None
        units = shape[-1]
        has = f"label {label!r} has {_values(width)} in an example, and output {self.name!r}"
        if self.loss == _SPARSE_LOSS:
            if units == 1:
                return (
                    f"output {self.name!r} has one unit, and {self.loss} needs one for each class; compile with "
                    "binary_crossentropy, or let the last layer have as many units as there are classes"
                )
            taken = math.prod(shape[:-1])
            if width == taken:
                return None
            return (
                f"{has} of shape {self.shape} takes {_values(taken)}, the index of a class, with {self.loss}; "
                "give the index, or compile with categorical_crossentropy, or binary_crossentropy if several "
                "classes can hold at once"
            )
        taken = math.prod(shape)
        if self.loss in OF_PROBABILITIES and units > 1 and width * units == taken:
            return None  # the index of a class, which becomes one value for each class
        if width != taken:
            instead = f"let the last layer have {_units(width)}, or the label {_values(taken)}"
            return f"{has} has {taken}, which {self.loss} compares value by value; {instead}"
        return None

    def metric_misfit(
        self, metric: str, width: int | None, config: Mapping[str, Any] | None = None
    ) -> str | None:
        """Why a metric would say nothing about it, and what to write instead; None if it may say something.

        Args:
            metric: Class name.
            width: Number of the label's values in an example; None if it is not known.
            config: Arguments of its constructor.
        """
        takes = METRICS[metric].takes if metric in METRICS else Takes.OTHER
        if metric in _OVERLAPS and (config or {}).get("sparse_y_true", True):
            takes = Takes.INDEX
        if self.is_regression and takes not in (Takes.VALUES, Takes.OTHER):
            return (
                f"{metric} counts classes, and output {self.name!r} is a regression, compiled with {self.loss}; "
                "write MeanSquaredError, MeanAbsoluteError or another metric of errors"
            )
        units = self.shape[-1] if self.shape else None
        if takes in (Takes.INDEX, Takes.ONE_HOT) and units == 1:
            return (
                f"{metric} looks for the largest of several values, and output {self.name!r} has one, so it would "
                "always find class 0; write BinaryAccuracy or AUC"
            )
        if self.loss == _SPARSE_LOSS and width is None:
            width = 1  # the loss takes the index of a class
        if width is None or units is None:
            return None
        if len(self.shape) > 1:
            return self._misfit_of_places(metric, takes, width)
        if takes is Takes.INDEX and width != 1:
            return (
                f"{metric} takes the index of a class, and the label of output {self.name!r} has {width} values; "
                "write CategoricalAccuracy, or BinaryAccuracy if several classes can hold at once"
            )
        if takes in _BY_VALUE and width != units:
            return (
                f"{metric} compares value by value, and output {self.name!r} has {units} for a label of "
                f"{_values(width)}; write SparseCategoricalAccuracy"
            )
        return None

    def _misfit_of_places(self, metric: str, takes: Takes, width: int) -> str | None:
        """Why a metric does not fit an output of several axes, as a mask of (height, width, classes) is."""
        sizes = [size for size in self.shape if size is not None]
        if len(sizes) < len(self.shape):
            return None
        units, places, every = sizes[-1], math.prod(sizes[:-1]), math.prod(sizes)
        of_index = width == places and units > 1
        arguments = f"{{num_classes: {units}, sparse_y_pred: false}}"
        masks = f"SparseCategoricalAccuracy, or metric: MeanIoU with config: {arguments}"
        has = f"the label of output {self.name!r} of shape {self.shape} has {_values(width)}"
        if of_index and takes not in (Takes.INDEX, Takes.OTHER):
            return f"{metric} does not take the index of a class at each place; write {masks}"
        if takes in (Takes.INDEX, Takes.ONE_HOT) and not of_index:
            return (
                f"{metric} would look for the largest of all values, and {has}; give the index of a class at each "
                f"place ({_values(places)}), and write {masks}"
            )
        if takes in (Takes.VALUES, Takes.PROBABILITIES) and width != every:
            return f"{metric} compares value by value, and {has}"
        return None

    def activation_misfit(self, metric: str, config: Mapping[str, Any]) -> str | None:
        """Why a metric of probabilities cannot be trusted to get some; None if it does, or does not need them.

        Of a loss that is not one of Keras's it is not known whether it takes logits, and a last layer without
        activation may give any numbers: a metric would then count thresholds that no output reaches.
        """
        facts = METRICS.get(metric)
        if self.loss or not self.trained or self.end != "linear" or facts is None or metric in _OF_MARGINS:
            return None
        likelihood = facts.takes in (Takes.INDEX, Takes.ONE_HOT) and not facts.higher_is_better
        by_threshold = facts.takes in (Takes.PROBABILITIES, Takes.CONFUSION) and "top_k" not in config
        if not (likelihood or by_threshold):
            return None
        return (
            f"{metric} takes probabilities, and the last layer of output {self.name!r} has no activation; its loss "
            "is not one of Keras's, so whether its values are logits is not known. End the model in softmax or sigmoid"
        )

    def config_misfit(self, metric: str, config: Mapping[str, Any]) -> tuple[str, str] | None:
        """The argument of a metric that does not fit the number of classes.

        Args:
            metric: Class name.
            config: Arguments of its constructor.

        Returns:
            The argument and what is wrong with it; None if all fit.
        """
        units = self.shape[-1] if self.shape else None
        if units is None:
            return None
        classes = config.get("num_classes")
        if metric in _OVERLAPS and isinstance(classes, int) and units > 1 and classes != units:
            return "num_classes", f"is {classes}, and output {self.name!r} has {units} classes"
        name = "k" if metric in TOP_K_METRICS else "top_k"
        k = config.get(name, TOP_K_METRICS.get(metric))
        if isinstance(k, int) and k >= units:
            return name, (
                f"is {k} for {metric}, and output {self.name!r} has {_values(units)}: the right class would always "
                f"be among them; write {name}: {max(1, min(k, units) // 2)}"
            )
        index = config.get("class_id")
        if isinstance(index, int) and not 0 <= index < units:
            return "class_id", f"is {index}, and output {self.name!r} has classes 0 to {units - 1}"
        return None


def _values(count: int) -> str:
    return "one value" if count == 1 else f"{count} values"


def _units(count: int) -> str:
    return "one unit" if count == 1 else f"{count} units"


def losses_of(model: tf_keras.Model) -> list[Any]:
    """The loss of each output of a compiled model, in its order; None for an output without a loss."""
    names = list(model.output_names or ())
    if not model._is_compiled:  # an imported one need not be
        return [None] * len(names)
    loss = model.loss
    if isinstance(loss, Mapping):
        return [loss.get(name) for name in names]
    return list(loss) if isinstance(loss, list | tuple) else [loss] * len(names)


def logits(model: tf_keras.Model, compiled: tf_keras.Model | None = None) -> dict[str, str]:
    """The outputs that are logits: the loss takes them, and no layer has made probabilities of them.

    Args:
        model: Functional or Sequential.
        compiled: The model whose losses say what the outputs are, if it is another.

    Returns:
        Output → the activation that makes probabilities of its values, softmax or sigmoid.
    """
    found = {}
    losses = losses_of(compiled or model)
    if len(losses) != len(model.outputs):
        return {}
    for name, tensor, loss in zip(model.output_names, model.outputs, losses, strict=True):
        task, from_logits = task_of(loss)
        if from_logits and activation_of(tensor) not in PROBABILITIES:
            found[plain_name(name)] = "softmax" if task == MULTICLASS else "sigmoid"
    return found


def kinds(model: tf_keras.Model) -> list[OutputKind]:
    """The outputs of a functional or Sequential model, in its order."""
    found = []
    for name, tensor, own in zip(model.output_names, model.outputs, losses_of(model), strict=True):
        function, _ = keras_function(own)
        found.append(
            OutputKind(
                plain_name(name),
                tuple(tensor.shape[1:]),
                function,
                TASKS.get(function),
                activation_of(tensor),
                own is not None or not model._is_compiled,
            )
        )
    return found


def activation_of(tensor: Any) -> str | None:
    """Name of the activation that an output of a model went through; None if its last layer has none."""
    node = tensor.node
    while True:
        layer, kind = node.layer, type(node.layer).__name__
        if isinstance(layer, tf_keras.Model) and layer.outputs:
            return activation_of(layer.outputs[0]) if len(layer.outputs) == 1 else None
        if kind == "Softmax":
            return "softmax"
        name = getattr(getattr(layer, "activation", None), "__name__", None)
        if not node.parent_nodes or not (kind in _PASSING or (kind, name) == ("Activation", "linear")):
            return name
        node = node.parent_nodes[0]
