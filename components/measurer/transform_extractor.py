"""Transformed features inside TFMA, made of raw examples as serving makes them.

TFMA then has both: the raw features that slices are named by, and what the models take. Its own
TransformedFeaturesExtractor wants a SavedModel with a transform signature in each model's folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.constants import TRANSFORMED_FEATURES_KEY

from components.common.data.transform_graph import TransformGraph

STAGE = "TransformRawFeatures"


class _Transform(beam.DoFn):
    """Adds the transformed features, label included, to a batch of extracts."""

    def __init__(self, graph: str, models: Sequence[str]):
        self._graph = graph
        self._models = list(models)
        self._transform: Any = None

    def setup(self) -> None:
        graph = TransformGraph(self._graph)
        signature = [tf.TensorSpec([None], tf.string)]
        self._transform = tf.function(graph.transform_all, input_signature=signature, autograph=False)

    def process(self, extracts: dict[str, Any]) -> list[dict[str, Any]]:
        records = tf.constant(np.asarray(extracts[tfma.INPUT_KEY], object))
        made = {name: value.numpy() for name, value in self._transform(records).items()}
        # TFMA looks for a model's features under its name; if there is one model, for the features alone.
        by_model = dict.fromkeys(self._models, made) if len(self._models) > 1 else made
        return [{**extracts, TRANSFORMED_FEATURES_KEY: by_model}]


def transform_extractor(graph: str, models: Sequence[str]) -> Any:
    """The extractor to give to TFMA, before the one for labels.

    Args:
        graph: Folder of the `TransformGraph` artifact.
        models: Names of the models in the eval config.

    Returns:
        A `tfma.extractors.Extractor`.
    """

    @beam.ptransform_fn
    def transform(extracts: beam.PCollection) -> beam.PCollection:
        return extracts | "Transform" >> beam.ParDo(_Transform(graph, models))

    return tfma.extractors.Extractor(STAGE, transform())
