"""Examples as arrays, read from TFX's files by the schema."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from components.common.base.label import Label, features_of
from components.common.base.layer_names import plain_name
from components.common.data import class_weights, vocabulary
from components.common.data.class_weights import ClassWeights
from components.common.data.vocabulary import Vocabulary

# Records are parsed in batches of this many, or this many bytes: a larger one only costs memory.
_PARSED_TOGETHER = 4096
_BYTES_TOGETHER = 1 << 24
# The split that class weights apply to.
_TRAINED = "train"


class ExamplesError(Exception):
    """The examples do not fit the model; the message names the feature."""


@dataclass(frozen=True)
class InputSpec:
    """An input of a model: shape without the batch dimension (None where free), and dtype."""

    shape: tuple[int | None, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class Arrays:
    """Examples in memory.

    Attributes:
        features: Feature → array of shape (examples, …) as the model's input of that name takes it.
        labels: Array of shape (examples,) or (examples, width); of a string label, indices of classes. Of a
            model with several outputs, output → such an array.
        class_weights: How much the examples of each class count in training; None where all count alike.
    """

    features: dict[str, np.ndarray]
    labels: np.ndarray | dict[str, np.ndarray]
    class_weights: ClassWeights | None = None

    def __len__(self) -> int:
        labels = self.labels
        return len(next(iter(labels.values())) if isinstance(labels, dict) else labels)

    def take(self, indices: Sequence[int] | np.ndarray) -> Arrays:
        """The examples at `indices`."""
        labels = self.labels
        taken = {n: v[indices] for n, v in labels.items()} if isinstance(labels, dict) else labels[indices]
        features = {n: v[indices] for n, v in self.features.items()}
        return Arrays(features, taken, self.class_weights)

    def labels_of(self, outputs: Sequence[str]) -> np.ndarray | list[np.ndarray]:
        """Labels as Keras takes them: one array, or a list in the order of a model's outputs.

        Args:
            outputs: Their names; TFMOT's wrappers may have renamed them.

        Raises:
            ExamplesError: Where an output has no label.
        """
        if not isinstance(self.labels, dict):
            return self.labels
        names = [plain_name(output) for output in outputs]
        refuse_other_outputs(names, self.labels)
        return [self.labels[name] for name in names]

    def weights(self) -> np.ndarray | None:
        """How much each example counts in training, (examples,); None where all count alike."""
        return None if self.class_weights is None else self.class_weights.of(self.labels)


@dataclass(frozen=True)
class Examples:
    """An `Examples` artifact with the schema to read it by.

    Attributes:
        uri: Folder with `Split-<name>/*.gz`.
        schema_uri: Folder with schema.pbtxt.
        transform_uri: Folder of the transform graph, where the examples went through Transform.
        label: The feature that the model predicts; output → feature where it has several outputs.
        classes: Of a string label, in the order of the model's outputs; empty where the schema lists them.
        class_weights: As `components.common.data.class_weights.resolve` takes them; None for none.
    """

    uri: str
    schema_uri: str
    transform_uri: str | None
    label: Label
    classes: tuple[str, ...] = ()
    class_weights: str | Mapping[str, float] | None = None

    def files(self, split: str) -> list[str]:
        """Files of a split, sorted."""
        return sorted(glob.glob(os.path.join(self.uri, f"Split-{split}", "*")))

    def schema(self) -> Any:
        """The schema of the examples, after Transform where there was one."""
        if self.transform_uri:
            return _read_schema(os.path.join(self.transform_uri, "transformed_metadata"))
        return _read_schema(self.schema_uri)

    def vocabulary(self) -> Vocabulary | None:
        """The classes of a string label; None where the label is a number.

        Raises:
            ExamplesError: Where the label is a number and classes are written.
            VocabularyError: Where neither the schema nor `classes` list them.
        """
        if not isinstance(self.label, str):
            self._refuse_strings(self.label)
            return None
        spec = self.feature_spec().get(self.label)
        if spec is None or spec.dtype != tf.string:
            if self.classes and spec is not None:
                raise ExamplesError(
                    f"data.classes are the values of a string label, and label {self.label!r} holds numbers, "
                    "which are taken as they are; leave classes out"
                )
            return None
        if self.classes:
            return Vocabulary(self.classes)
        return vocabulary.of_schema(_read_schema(self.schema_uri), self.label)

    def _refuse_strings(self, label: Mapping[str, str]) -> None:
        """Raises an ExamplesError where one of several labels is a string, or classes are named of them."""
        spec = self.feature_spec()
        strings = sorted(name for name in label.values() if name in spec and spec[name].dtype == tf.string)
        if strings or self.classes or self.class_weights is not None:
            what = (
                f"label {strings[0]!r} is a string"
                if strings
                else "data.classes or class_weights are written"
            )
            raise ExamplesError(
                f"{what}, and the model has several outputs, whose labels are numbers, all of one weight; give "
                "indices of classes in preprocessing_fn"
            )

    def feature_spec(self) -> dict[str, Any]:
        """Feature → how tf.io parses it."""
        from tensorflow_transform.tf_metadata import schema_utils

        return schema_utils.schema_as_feature_spec(self.schema()).feature_spec

    def load(self, split: str, inputs: Mapping[str, InputSpec]) -> Arrays:
        """Reads a split into memory.

        Examples are sorted by content: ExampleGen shuffles them, and not twice alike, so that without
        sorting no training could be repeated. What counts is the parsed content: protocol buffers write
        the features of one example in any order.

        Args:
            split: `train` or `eval`.
            inputs: The model's inputs by feature, as `match_features` returns them.

        Raises:
            ExamplesError: Where a feature is missing, does not have the input's shape, or has more
                values in one example than in another.
            VocabularyError: Where a string label is none of its classes.
            ClassWeightsError: Where weights do not go with the label.
        """
        classes = self.vocabulary()
        spec = self.feature_spec()
        read = {*inputs, *features_of(self.label)}
        wanted = {name: spec[name] for name in read if name in spec}
        for name in sorted(read - set(wanted)):
            raise ExamplesError(f"the examples have no feature {name!r}; they have {sorted(spec)}")
        records = self.records(split)
        if not records:
            raise ExamplesError(f"split {split!r} has no examples")
        parsed: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
        together = max(1, min(_PARSED_TOGETHER, _BYTES_TOGETHER // max(1, len(records[0]))))
        for start in range(0, len(records), together):
            batch = _parsed(records[start : start + together], wanted, split)
            for name, value in batch.items():
                parsed[name].append(_dense(value, name))
        columns = {name: _joined(parts, name) for name, parts in parsed.items()}
        order = _order_by_content(columns)
        columns = {name: values[order] for name, values in columns.items()}
        if isinstance(self.label, str):
            labels: Any = _flat(columns[self.label])
            if classes is not None:
                labels = classes.indices(labels, self.label, split)
        else:
            labels = {output: _flat(columns[name]) for output, name in sorted(self.label.items())}
        features = {name: shaped(columns[name], spec, name) for name, spec in inputs.items()}
        return Arrays(features, labels, self._weights(split, labels, classes))

    def _weights(self, split: str, labels: np.ndarray, classes: Vocabulary | None) -> ClassWeights | None:
        if self.class_weights is None or split != _TRAINED:
            return None
        names = classes.names if classes is not None else None
        return class_weights.resolve(self.class_weights, labels, self.label, names)

    def records(self, split: str) -> list[bytes]:
        """Serialized examples of a split, in the order of its files."""
        dataset = tf.data.TFRecordDataset(self.files(split), compression_type="GZIP")
        batches = dataset.batch(_PARSED_TOGETHER).as_numpy_iterator()
        return [record for batch in batches for record in batch]


def _parsed(records: Sequence[bytes], spec: Mapping[str, Any], split: str) -> Mapping[str, Any]:
    try:
        return tf.io.parse_example(records, spec)
    except tf.errors.InvalidArgumentError as error:
        found = re.search(r"((?:Feature|Key): .*?)\.?(?: \[Op:|$)", error.message)
        raise ExamplesError(
            f"an example of split {split!r} is other than the schema, inferred from the train split, says "
            f"({found[1] if found else error.message}); mend or remove it: what data.validation lets pass is "
            "not filled in"
        ) from None


def _read_schema(folder: str) -> Any:
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx.utils import io_utils

    return io_utils.parse_pbtxt_file(os.path.join(folder, "schema.pbtxt"), schema_pb2.Schema())


def _flat(labels: np.ndarray) -> np.ndarray:
    """Labels of one value each without an axis for it."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _dense(value: Any, name: str) -> np.ndarray:
    """Values of a batch as an array; of a feature without a fixed shape, as many in each example.

    Padding would pass for values: a missing label would be class 0.
    """
    if not isinstance(value, tf.sparse.SparseTensor):
        return value.numpy()
    counts = np.bincount(value.indices.numpy()[:, 0], minlength=int(value.dense_shape[0]))
    if len(set(counts.tolist())) > 1:
        raise _ragged(name, counts)
    return tf.sparse.to_dense(value).numpy()


def _joined(parts: list[np.ndarray], name: str) -> np.ndarray:
    if len({part.shape[1:] for part in parts}) > 1:
        raise _ragged(name, np.array([part.shape[1] for part in parts]))
    return np.concatenate(parts)


def _ragged(name: str, counts: np.ndarray) -> ExamplesError:
    return ExamplesError(
        f"feature {name!r} has {counts.min()} values in one example and {counts.max()} in another; give "
        "it one shape in preprocessing_fn: pad sequences, and write a value where it is missing"
    )


def _order_by_content(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Indices that sort examples by a digest of their values, so that files' order does not matter."""
    digests = content_digests(columns)
    return np.array(sorted(range(len(digests)), key=lambda index: digests[index]), dtype=np.int64)


def content_digests(columns: Mapping[str, np.ndarray]) -> list[bytes]:
    """A digest of each example's values.

    Args:
        columns: Feature → (examples, …).
    """
    count = len(next(iter(columns.values())))
    digests = [hashlib.blake2b(digest_size=16) for _ in range(count)]
    for _, values in sorted(columns.items()):
        for digest, row in zip(digests, values, strict=True):
            row = np.asarray(row)
            digest.update(repr(row.tolist()).encode() if row.dtype == object else row.tobytes())
    return [digest.digest() for digest in digests]


def shaped(values: np.ndarray, spec: InputSpec, name: str) -> np.ndarray:
    """Values of a feature in the shape and dtype that a model's input has.

    Args:
        values: (examples, …).
        spec: The input; as many elements an example as `values` has.
        name: The feature, for the error.

    Raises:
        ExamplesError: Where the number of elements differs, or a value would become another one.
    """
    shape = tuple(-1 if size is None else size for size in spec.shape)
    try:
        reshaped = values.reshape((len(values), *shape))
    except ValueError:
        raise ExamplesError(
            f"feature {name!r} has shape {values.shape[1:]}, which does not fit the model's input "
            f"{spec.shape}"
        ) from None
    return _cast(reshaped, np.dtype(spec.dtype), name)


def _cast(values: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """Values in another dtype; NumPy would wrap whole numbers around, cut fractions off, and read text.

    Fractions may be rounded to what a float input can hold; that is what it is for.
    """
    if values.dtype == dtype:
        return values
    if values.dtype.kind in "OSU" or dtype.kind in "OSU":
        if values.dtype.kind in "OSU" and dtype.kind in "OSU":
            return values.astype(dtype, copy=False)
        held = "text" if values.dtype.kind in "OSU" else "numbers"
        raise ExamplesError(
            f"feature {name!r} holds {held}, and the model's input is {dtype.name}; turn it into what the "
            "input takes in preprocessing_fn"
        )
    with np.errstate(all="ignore"):  # what NumPy would warn of is looked for below
        cast = values.astype(dtype)
        if values.dtype.kind == "f" and dtype.kind not in "biu":
            same = np.isfinite(cast) | ~np.isfinite(values)
        else:
            # Going back wraps around, too: from 2**63 to its negative, say, which is not near.
            same = (cast.astype(values.dtype) == values) & ((cast < 0) == (values < 0))
    if same.all():
        return cast
    wrong = int(np.argmin(same.ravel()))
    raise ExamplesError(
        f"feature {name!r} holds {values.ravel()[wrong]!s}, which the model's input of {dtype.name} cannot hold: "
        f"it would be {cast.ravel()[wrong]!s} ({np.count_nonzero(~same):,} of {same.size:,} values); give the "
        "input a wider dtype, or scale the feature or make categories of it in preprocessing_fn"
    )


def refuse_other_outputs(outputs: Sequence[str], labelled: Iterable[str]) -> None:
    """Raises an ExamplesError where a model has outputs without a label, or labels are of other outputs.

    Args:
        outputs: Names of the model's outputs.
        labelled: Those that have a label.
    """
    labelled = set(labelled)
    unknown, missing = sorted(labelled - set(outputs)), [name for name in outputs if name not in labelled]
    if unknown:
        raise ExamplesError(
            f"the model has no output {', '.join(map(repr, unknown))}; its outputs are {list(outputs)}: an "
            "output is named after its layer"
        )
    if missing:
        raise ExamplesError(
            f"output {', '.join(map(repr, missing))} of the model has no label; write data.label as output: "
            "feature, one for each output, or build the model without it"
        )


def refuse_changed_names(names: Iterable[str]) -> None:
    """Raises an ExamplesError where TensorFlow's signatures would call an input otherwise."""
    for name in names:
        kept = signature_name(name)
        if kept != name:
            raise ExamplesError(
                f"{name!r} cannot be an input of a deployed model: TensorFlow would call it {kept!r}, as names "
                "there begin with a letter and have letters, digits and '_' alone; rename the feature and the "
                "input, or make a feature of another name in preprocessing_fn"
            )


def signature_name(name: str) -> str:
    """What TensorFlow makes of the name of a signature's input."""
    kept = "".join(letter if letter.isalnum() else "_" for letter in name)
    return kept if kept[:1].isalpha() else f"arg_{kept}"


def match_features(names: Sequence[str], features: Sequence[str], label: Label) -> dict[str, str]:
    """Finds the feature that feeds each input of a model.

    An input takes the feature of its own name; the only input of a model takes the only feature.

    Args:
        names: Names of the model's inputs.
        features: Features of the examples.
        label: What the model predicts.

    Returns:
        Input → feature.

    Raises:
        ExamplesError: Where an input has no feature.
    """
    labels = features_of(label)
    others = [feature for feature in features if feature not in labels]
    if len(names) == 1 and len(others) == 1:
        refuse_changed_names(others)
        return {names[0]: others[0]}
    for name in names:
        if name not in features:
            raise ExamplesError(
                f"the model's input {name!r} is no feature of the data, which has {sorted(others)}; "
                "name tf_keras.layers.Input after the feature"
            )
    refuse_changed_names(names)
    return {name: name for name in names}
