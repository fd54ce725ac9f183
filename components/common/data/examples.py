"""Examples as arrays, read from TFX's files by the schema."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.common.base.label import SAME_AS_INPUT, Label, features_of
from components.common.base.memory import available_memory
from components.common.data import class_weights, decoded, vocabulary
from components.common.data.arrays import Arrays, Labels
from components.common.data.column import Values
from components.common.data.model_inputs import ExamplesError, InputSpec, shaped
from components.common.data.vocabulary import Vocabulary

# Records are read in batches of this many: a larger one only costs memory.
_READ_TOGETHER = 4096
# Copies of a split that training may hold in memory: as read, sorted, and as a tensor.
_COPIES = 4
# The split that class weights apply to.
_TRAINED = "train"


@dataclass(frozen=True)
class Examples:
    """An `Examples` artifact with the schema to read it by.

    Attributes:
        uri: Folder with `Split-<name>/*.gz`.
        schema_uri: Folder with schema.pbtxt.
        transform_uri: Folder of the transform graph, if the examples went through Transform.
        label: The feature that the model predicts; output → feature if it has several outputs.
        classes: Classes of a string label, or numbers that do not begin at 0, in the order of the model's outputs;
            empty if the schema lists them, or numbers are indices.
        class_weights: As `components.common.data.class_weights.resolve` takes them; None for none.
        in_memory: Whether `load` reads a split into memory; None if it does so as far as memory allows.
    """

    uri: str
    schema_uri: str
    transform_uri: str | None
    label: Label
    classes: tuple[str | int, ...] = ()
    class_weights: str | Mapping[str, float] | None = None
    in_memory: bool | None = None

    def files(self, split: str) -> list[str]:
        """Files of a split, sorted."""
        return sorted(glob.glob(os.path.join(self.uri, f"Split-{split}", "*")))

    def schema(self) -> Any:
        """The schema of the examples, after Transform if there was one."""
        if self.transform_uri:
            return _read_schema(os.path.join(self.transform_uri, "transformed_metadata"))
        return _read_schema(self.schema_uri)

    def vocabulary(self) -> Vocabulary | None:
        """The classes of a label; None if it is a number that is taken as it is.

        Raises:
            ExamplesError: If the label is a number and classes are text.
            VocabularyError: If neither the schema nor `classes` list them.
        """
        if not isinstance(self.label, str):
            self._refuse_strings(self.label)
            return None
        spec = self.feature_spec().get(self.label)
        if spec is None or spec.dtype != tf.string:
            if self.classes and spec is not None:
                if all(isinstance(name, int) for name in self.classes):
                    return Vocabulary(tuple(map(str, self.classes)))
                raise ExamplesError(
                    f"data.classes are text, and label {self.label!r} holds numbers; leave classes out to take them "
                    f"as "
                    "they are, or write classes as numbers, e.g. [1, 2]"
                )
            return None
        if self.classes:
            return Vocabulary(tuple(map(str, self.classes)))
        return vocabulary.of_schema(_read_schema(self.schema_uri), self.label)

    def _refuse_strings(self, label: Mapping[str, str]) -> None:
        """Raises an ExamplesError if one of several labels is a string, or classes are named of them."""
        spec = self.feature_spec()
        strings = sorted(name for name in label.values() if name in spec and spec[name].dtype == tf.string)
        if strings or self.classes or self.class_weights is not None:
            what = (
                f"label {strings[0]!r} is a string"
                if strings
                else "data.classes or class_weights are written"
            )
            raise ExamplesError(
                f"{what}, and the model has several outputs, whose labels must be numbers without weights; compute "
                "class indices in preprocessing_fn"
            )

    def feature_spec(self) -> dict[str, Any]:
        """Feature → how tf.io parses it."""
        from tensorflow_transform.tf_metadata import schema_utils

        return schema_utils.schema_as_feature_spec(self.schema()).feature_spec

    def load(self, split: str, inputs: Mapping[str, InputSpec]) -> Arrays:
        """The examples of a split as a training reads them: in memory if they fit, otherwise from files; see `open`."""
        examples = self.open(split, inputs)
        fits = (
            _COPIES * examples.nbytes() < available_memory() if self.in_memory is None else self.in_memory
        )
        return examples.read() if fits else examples

    def open(self, split: str, inputs: Mapping[str, InputSpec]) -> Arrays:
        """The examples of a split, sorted by content, of which only what is asked for is read into memory.

        Args:
            split: `train` or `eval`.
            inputs: The model's inputs by feature, as `match_features` returns them.

        Raises:
            ExamplesError: If a feature is missing, does not have the input's shape, or has more
                values in one example than in another.
            VocabularyError: If a string label is none of its classes.
            ClassWeightsError: If weights do not fit the label.
        """
        classes = self.vocabulary()
        spec = self.feature_spec()
        read = {*inputs, *features_of(self.label)}
        wanted = {name: spec[name] for name in read if name in spec}
        for name in sorted(read - set(wanted)):
            raise ExamplesError(f"the examples have no feature {name!r}; they have {sorted(spec)}")
        columns = decoded.columns(self.files(split), wanted, split)
        labels: Labels
        weights = None
        features = {name: shaped(columns[name], spec, name) for name, spec in inputs.items()}
        if self.label == SAME_AS_INPUT:
            values = _only(features)
            labels = shaped(values, InputSpec(values.shape[1:], np.float32), str(self.label))
        elif isinstance(self.label, str):
            labels = _flat(np.asarray(columns[self.label]))
            if classes is not None:
                labels = classes.indices(labels, self.label, split)
            if self.class_weights is not None and split == _TRAINED:
                names = classes.names if classes is not None else None
                weights = class_weights.resolve(self.class_weights, labels, self.label, names)
        else:
            labels = {
                output: _flat(np.asarray(columns[name])) for output, name in sorted(self.label.items())
            }
        return Arrays(features, labels, weights)

    def records(self, split: str) -> Iterator[bytes]:
        """Serialized examples of a split, in the order of its files."""
        dataset = tf.data.TFRecordDataset(self.files(split), compression_type="GZIP")
        batches = dataset.batch(_READ_TOGETHER).as_numpy_iterator()
        return (record for batch in batches for record in batch)


def _read_schema(folder: str) -> Any:
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx.utils import io_utils

    return io_utils.parse_pbtxt_file(os.path.join(folder, "schema.pbtxt"), schema_pb2.Schema())


def _only(features: Mapping[str, Values]) -> Values:
    if len(features) != 1:
        raise ExamplesError(
            f"label: {{same_as: input}} needs a model with one input, but this one has {sorted(features)}; write a "
            "feature as label"
        )
    return next(iter(features.values()))


def _flat(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels of one value each without an axis for it."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
