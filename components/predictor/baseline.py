"""The baseline's predictions of the eval split as an artifact: which file made them, or why there are none."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from components.common.base import file_hashes
from components.common.base.document import Document
from components.common.base.errors import ParedownError, reason_of
from components.common.base.file_hashes import ChangedFile
from components.common.base.interruption import Interrupted
from components.common.base.runtime import LITERT, Runtime
from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.tflite import runtimes
from components.predictor.prediction import NotArrays, predict
from components.predictor.predictions import Predictions

FILE = "baseline.json"
BASELINE = "baseline"


class NotPredicted(ParedownError):
    """The baseline made no predictions; the text has the reason."""


@dataclass(frozen=True)
class BaselinePredictions(Document):
    """The sources of the baseline's predictions, which are in the same folder.

    Attributes:
        files: Path of each of the baseline's model files, relative to its folder → SHA-256.
        failure: Why there are no predictions; empty if there are, or if `arrays` is False.
        arrays: Whether labels are arrays. If some examples have more labels than others, nothing is stored.
    """

    TITLE: ClassVar[str] = "record of the baseline's predictions"
    VERSION: ClassVar[int] = 1

    files: dict[str, str]
    failure: str = ""
    arrays: bool = True

    @classmethod
    def of(cls, folder: str) -> BaselinePredictions:
        """The record in an artifact's folder.

        Raises:
            DocumentError: If it is not there or is damaged.
        """
        return cls.read(os.path.join(folder, FILE))


def predict_baseline(
    model: str,
    examples: Examples,
    features: Sequence[str],
    output: str,
    raw_examples: Examples | None = None,
    runtime: Runtime = LITERT,
) -> BaselinePredictions:
    """Predicts the eval split, and writes labels, predictions and slices in the order of the examples' files.

    Args:
        model: Folder of the baseline's `Model` artifact, converted to float32.
        examples: Whose `eval` split to predict.
        features: Features that slices are named by.
        output: Folder for the predictions and their record.
        raw_examples: The same before Transform, if `examples` went through it.
        runtime: What to predict on.

    Returns:
        The record, also written. A failure is recorded and not raised: every candidate's verdict has to name it.

    Raises:
        ChangedFile: If the model's file changes meanwhile.
    """
    files = file_hashes.model_digests(model)
    found = BaselinePredictions(files)
    try:
        logits = {BASELINE: StepRecord.read(model).logits}
        paths = {BASELINE: model_files.tflite_file(model)}
        with runtimes.closed_afterwards(runtime):
            predict(examples, paths, features, raw_examples, logits, runtime).write(output)
    except NotArrays:
        found = BaselinePredictions(files, arrays=False)
    except Interrupted:
        raise
    except Exception as error:  # whatever goes wrong has to end in verdicts, not in a crash
        logging.getLogger(__name__).exception("predicting by the baseline failed")
        found = BaselinePredictions(files, failure=reason_of(error))
    again = file_hashes.model_digests(model)
    file_hashes.refuse_change(model, files, again, "it changed while it predicted; run again")
    found.write(os.path.join(output, FILE))
    return found


def read_baseline(folder: str, files: dict[str, str]) -> Predictions | None:
    """The baseline's predictions, in the order of the examples' files.

    Args:
        folder: What `predict_baseline` wrote.
        files: The baseline's model files, as its record has to have them.

    Returns:
        None if labels are not arrays.

    Raises:
        NotPredicted: If predicting failed.
        ChangedFile: If another file made the predictions.
    """
    record = BaselinePredictions.of(folder)
    if record.files != files:
        raise ChangedFile(
            f"the predictions in {folder} were made with another file than the baseline's; run again"
        )
    if record.failure:
        raise NotPredicted(record.failure)
    return Predictions.read(folder) if record.arrays else None
