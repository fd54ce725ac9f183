"""The graph that Transform wrote, applied to raw examples as serving does it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from components.common.base.errors import ParedownError
from components.common.data.model_inputs import InputSpec


class TransformError(ParedownError):
    """A transform graph does not give what the model takes; the message names the feature."""


class TransformGraph:
    """A `TransformGraph` artifact."""

    def __init__(self, uri: str):
        """Loads the graph.

        Args:
            uri: Folder of the artifact.
        """
        import tensorflow_transform as tft

        output = tft.TFTransformOutput(uri)
        self._raw_spec: dict[str, Any] = dict(output.raw_feature_spec())
        self._layer = output.transform_features_layer()

    def tracked(self) -> Any:
        """Objects that a saved module must hold: the graph's tables and their vocabularies.

        Not the layer, which Keras would trace again through AutoGraph: 13 of 19 seconds for the taxi trips.
        """
        return self._layer._saved_model_loader_tracked_dict

    def raw_spec(self, features: Iterable[str]) -> dict[str, Any]:
        """The raw features that transformed ones are made of, and how tf.io parses each.

        What only the label is made of is not among them: who asks for a prediction does not know it.

        Args:
            features: Transformed features.

        Raises:
            TransformError: If the graph does not make one of them.
        """
        wanted = set(features)
        missing = wanted - self._made_without(None)
        if missing:
            raise TransformError(f"the transform graph makes no feature {min(missing)!r}")
        return {
            name: spec for name, spec in self._raw_spec.items() if not wanted <= self._made_without(name)
        }

    def _made_without(self, left_out: str | None) -> set[str]:
        """Transformed features that can be made if one raw feature is not given."""
        given = {name: spec for name, spec in self._raw_spec.items() if name != left_out}

        def transform(examples: Any) -> set[str]:
            made.update(self._layer(tf.io.parse_example(examples, given)))
            return examples

        made: set[str] = set()
        if given:
            # Traced, not run: the inputs that the layer gets decide what it can compute.
            signature = [tf.TensorSpec([None], tf.string)]
            tf.function(transform, input_signature=signature, autograph=False).get_concrete_function()
        return made

    def transform(self, raw: Mapping[str, Any], inputs: Mapping[str, InputSpec]) -> dict[str, Any]:
        """Features as a model takes them.

        Args:
            raw: Raw feature → tensor, as `raw_spec` parses it.
            inputs: Transformed feature → the model's input of that name.

        Returns:
            Transformed feature → (batch, …) tensor in the input's shape and dtype.
        """
        made = self._layer(dict(raw))
        return {name: _as_input(made[name], spec) for name, spec in inputs.items()}

    def transform_all(self, records: Any) -> dict[str, Any]:
        """Every transformed feature, the label among them, of serialized raw examples.

        Args:
            records: (batch,) strings.

        Returns:
            Feature → (batch, …) tensor; padded if an example has fewer values than another.
        """
        made = self._layer(tf.io.parse_example(records, self._raw_spec))
        return {name: _dense(value) for name, value in made.items()}


def _dense(value: Any) -> Any:
    return tf.sparse.to_dense(value) if isinstance(value, tf.sparse.SparseTensor) else value


def _as_input(value: Any, spec: InputSpec) -> Any:
    value = _dense(value)
    sizes = [-1 if size is None else size for size in spec.shape]
    value = tf.reshape(value, [tf.shape(value)[0], *sizes])
    return tf.cast(value, tf.as_dtype(spec.dtype))
