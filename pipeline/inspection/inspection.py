"""Inspecting model files."""

from __future__ import annotations

from pathlib import Path

from components.common.base.errors import describe
from pipeline import environment
from pipeline.base.log_file import quiet
from pipeline.inspection.contents import SAVED_MODEL, TFLITE, Inspection, InspectionError, Unread
from pipeline.inspection.target import Target, find
from pipeline.inspection.tflite import inspect_tflite


def inspect(path: Path, load: bool = False) -> list[Inspection | Unread]:
    """Inspects the models at a path.

    No code of a file runs, unless it is loaded.

    Args:
        path: A model file, the folder of a SavedModel, of an artifact, or of pushed versions.
        load: Whether to load Keras files and SavedModels with TensorFlow, which runs the code in them.

    Returns:
        What each of the models holds, the one that is deployed first.

    Raises:
        InspectionError: If there is no model, or none that can be read.
    """
    targets = find(path)
    if not load or all(form == TFLITE for form, _ in targets):
        return _inspect_all(targets, load=False)
    environment.prepare()
    with quiet("Loading with TensorFlow …"):
        return _inspect_all(targets, load=True)


def _inspect_all(targets: list[Target], load: bool) -> list[Inspection | Unread]:
    found: list[Inspection | Unread] = []
    for form, file in targets:
        try:
            found.append(_load(form, file) if load and form != TFLITE else _inspect(form, file))
        except InspectionError as error:
            # An artifact's Keras model may need code that its SavedModel does not.
            found.append(Unread(str(file), form, str(error)))
        except (OSError, MemoryError, RecursionError) as error:
            found.append(Unread(str(file), form, f"cannot be read: {describe(error)}"))
    unread = [model for model in found if isinstance(model, Unread)]
    if len(unread) == len(found):
        raise InspectionError(unread[0].error)
    return found


def _inspect(form: str, file: Path) -> Inspection:
    if form == TFLITE:
        return inspect_tflite(file)
    from pipeline.inspection import keras_file, saved_model  # half a second for h5py and protobuf

    return saved_model.inspect_saved_model(file) if form == SAVED_MODEL else keras_file.inspect_keras(file)


def _load(form: str, file: Path) -> Inspection:
    from components.common.models import model_format
    from pipeline.inspection import loaded, saved_model  # the first imports TensorFlow

    try:
        found = model_format.recognise(file)
        if form == SAVED_MODEL:
            saved_model.refuse_operators(found)
    except model_format.ModelFormatError as error:
        raise InspectionError(str(error)) from error
    return loaded.inspect_saved_model(file) if form == SAVED_MODEL else loaded.inspect_keras(file)
