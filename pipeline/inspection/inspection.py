"""Inspecting model files."""

from __future__ import annotations

from pathlib import Path

from pipeline import environment
from pipeline.base.log_file import quiet
from pipeline.inspection.contents import SAVED_MODEL, TFLITE, Inspection, InspectionError, Unread
from pipeline.inspection.target import Target, find
from pipeline.inspection.tflite import inspect_tflite


def inspect(path: Path) -> list[Inspection | Unread]:
    """Inspects the models at a path.

    TensorFlow is imported only for a SavedModel or a Keras file.

    Args:
        path: A model file, the folder of a SavedModel, of an artifact, or of pushed versions.

    Returns:
        What each of the models holds, the one that is deployed first.

    Raises:
        InspectionError: If there is no model, or none that can be read.
    """
    targets = find(path)
    if all(form == TFLITE for form, _ in targets):
        return _inspect_all(targets)
    environment.prepare()
    with quiet("Loading with TensorFlow …"):
        return _inspect_all(targets)


def _inspect_all(targets: list[Target]) -> list[Inspection | Unread]:
    found: list[Inspection | Unread] = []
    for form, file in targets:
        try:
            found.append(_inspect(form, file))
        except InspectionError as error:
            # An artifact's Keras model may need code that its SavedModel does not.
            found.append(Unread(str(file), form, str(error)))
    unread = [model for model in found if isinstance(model, Unread)]
    if len(unread) == len(found):
        raise InspectionError(unread[0].error)
    return found


def _inspect(form: str, file: Path) -> Inspection:
    if form == TFLITE:
        return inspect_tflite(file)
    from pipeline.inspection import keras  # imports TensorFlow

    if form == SAVED_MODEL:
        return keras.inspect_saved_model(file)
    return keras.inspect_keras(file)
