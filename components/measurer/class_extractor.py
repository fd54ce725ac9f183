"""TFMA's string labels as indices of classes, as training had them."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma

from components.common.data.vocabulary import Vocabulary, VocabularyError

STAGE = "ClassesOfLabels"


def to_indices(extracts: dict[str, Any], vocabulary: Vocabulary, label: str) -> dict[str, Any]:
    """Extracts whose labels are indices of classes; features, and so slices, keep the strings.

    Args:
        extracts: Extracts of a batch; labels as TFMA's LabelsExtractor leaves them, an array or one for each model.
        vocabulary: The classes.
        label: Name of the feature, for errors.

    Raises:
        VocabularyError: If an example has no label, or one that is not a class.
    """

    def indices(labels: Any) -> Any:
        if isinstance(labels, dict):
            return {name: indices(values) for name, values in labels.items()}
        if not isinstance(labels, np.ndarray):  # TFMA's own types for features that some examples lack
            raise VocabularyError(
                f"label {label!r} does not have one value in each example of split 'eval'; add the missing values"
            )
        return vocabulary.indices(labels, label, "eval")

    return {**extracts, tfma.LABELS_KEY: indices(extracts[tfma.LABELS_KEY])}


def class_extractor(vocabulary: Vocabulary, label: str) -> Any:
    """The extractor to put behind TFMA's LabelsExtractor, as `to_indices`.

    Returns:
        A `tfma.extractors.Extractor`.
    """

    @beam.ptransform_fn
    def replace(extracts: beam.PCollection) -> beam.PCollection:
        return extracts | "Replace" >> beam.Map(to_indices, vocabulary, label)

    return tfma.extractors.Extractor(STAGE, replace())
