"""TFMA's predictions, made by TFLite files on LiteRT.

TFMA has an extractor for TFLite. It truncates when it quantizes, so that an int8 input wraps around
(1.01 becomes −127), feeds −1 for a feature that is missing, and runs without the default delegate: it
does not measure what is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.constants import TRANSFORMED_FEATURES_KEY

from components.common.tflite.litert import LiteRTModel
from components.common.tflite.litert_batch import Logits, predict_batch

STAGE = "PredictWithLiteRT"


class _Predict(beam.DoFn):
    """Adds predictions of every model to a batch of extracts, and drops inputs no longer needed."""

    def __init__(self, paths: Mapping[str, str], keep: frozenset[str], logits: Logits):
        self._paths = dict(paths)
        self._logits = {name: dict(outputs) for name, outputs in logits.items()}
        self._keep = keep
        self._models: dict[str, LiteRTModel] = {}

    def setup(self) -> None:
        self._models = {name: LiteRTModel(path) for name, path in self._paths.items()}

    def process(self, extracts: dict[str, Any]) -> list[dict[str, Any]]:
        features = extracts[tfma.FEATURES_KEY]
        predictions = {
            name: predict_batch(model, _given(extracts, name), name, self._logits.get(name))
            for name, model in self._models.items()
        }
        extracts = dict(extracts)
        if len(predictions) == 1:  # as TFMA wants it
            predictions = next(iter(predictions.values()))
        extracts[tfma.PREDICTIONS_KEY] = predictions
        extracts[tfma.FEATURES_KEY] = {n: v for n, v in features.items() if n in self._keep}
        # The raw records and the model's inputs are most of the data, and metrics do not read them.
        extracts.pop(tfma.ARROW_RECORD_BATCH_KEY, None)
        extracts.pop(tfma.INPUT_KEY, None)
        # Slices are of raw features, also if a transformed one has the same name.
        extracts.pop(TRANSFORMED_FEATURES_KEY, None)
        return [extracts]


def _given(extracts: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    """The inputs of a model: transformed features if there are any, by the model's name or for all."""
    transformed = extracts.get(TRANSFORMED_FEATURES_KEY)
    if transformed is None:
        return extracts[tfma.FEATURES_KEY]
    return transformed.get(model, transformed)


def tflite_extractor(paths: Mapping[str, str], keep: frozenset[str], logits: Logits | None = None) -> Any:
    """The extractor to give to TFMA.

    Args:
        paths: Model's name in the eval config → its TFLite file.
        keep: Features that later extractors need, for slices.
        logits: Model's name → output of logits → the activation that is applied before the metrics.

    Returns:
        A `tfma.extractors.Extractor`.
    """

    @beam.ptransform_fn
    def predict(extracts: beam.PCollection) -> beam.PCollection:
        return extracts | "Predict" >> beam.ParDo(_Predict(paths, keep, logits or {}))

    return tfma.extractors.Extractor(STAGE, predict())
