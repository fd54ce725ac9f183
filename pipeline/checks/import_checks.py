"""What can be said of an existing model before a run: its file, and what steps need of it.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.common.base.step_options import TrainingOptions
from components.common.models import model_format
from components.common.models.model_format import ModelFormat, ModelFormatError
from components.distiller.params import DistillOptions
from components.model_importer.params import ImportOptions
from pipeline.config.config import Config
from pipeline.config.problem import Location

_Mistakes = Iterator[tuple[Location, str]]


def check(config: Config, functions: Iterable[str] | None) -> _Mistakes:
    """Looks at the imported model's file.

    Args:
        config: One with an import.
        functions: What the module defines; None where there is no module, or it cannot be told.
    """
    options = config.model.imported
    assert options is not None
    at: Location = ("model", "import", options.key())
    file = options.file()
    if "://" in file:
        yield (
            at,
            f"{file} is elsewhere, and what a run goes by is the content; copy it here (for a cluster, "
            "kubeflow.model_path says where tasks find it)",
        )
        return
    try:
        found = model_format.recognise(file)
        digest = model_format.digest(file) if options.sha256 else None
    except ModelFormatError as error:
        yield at, f"{file} {error}"
        return
    if digest != options.sha256:
        yield ("model", "import", "sha256"), f"is not that of {file}, which is {digest}"
        return
    fault = _unfit(options, found)
    if fault:
        yield fault[0], f"{file} {fault[1]}"
        return
    yield from _steps(config, found, functions)


def _unfit(options: ImportOptions, found: ModelFormat) -> tuple[Location, str] | None:
    """Why what stands at a path cannot be what the options say."""
    at: Location = ("model", "import", options.key())
    saved_model = found.kind in (model_format.SAVED_MODEL, model_format.KERAS_SAVED_MODEL)
    if options.path is not None and found.kind in model_format.WEIGHTS_ALONE:
        return at, (
            "holds weights without a model; write import: {weights: …} and module: with one whose build_model "
            "returns the model"
        )
    if options.weights is not None and saved_model:
        return at, "is a SavedModel, which is a whole model; write import: {path: …}"
    if options.signature is not None and not saved_model:
        return ("model", "import", "signature"), "is a Keras file, which has no signatures; leave it out"
    if found.executes and options.safe_mode and options.signature is None and options.path is not None:
        return at, (
            "holds a Lambda layer: Python code, which loading it runs; write safe_mode: false beside it if you "
            "trust where it comes from"
        )
    return None


def _steps(config: Config, found: ModelFormat, functions: Iterable[str] | None) -> _Mistakes:
    """Refuses steps that train where the model has no layers, or no loss and optimizer."""
    options = config.model.imported
    assert options is not None
    layers = found.kind != model_format.SAVED_MODEL and options.signature is None
    builder = functions is None and config.model.module is not None  # which preflight looks into
    compiled = builder or "build_model" in (functions or ()) or found.compiled is not False
    told: set[str] = set()
    for candidate, chain in config.candidates.items():
        for index, step in enumerate(chain.steps()):
            if not isinstance(step, TrainingOptions):
                continue
            at: Location = ("candidates", candidate, index, step.technique)
            if isinstance(step, DistillOptions) and config.model.module is None:
                yield at, f"needs a module that defines {step.student}; write module: beside import:"
                break
            why = None if layers else no_layers(step.technique)
            if why is None and not compiled:
                why = f"{options.file()} {model_format.NOT_COMPILED}"
            if why is None:
                continue
            if why not in told:  # the same mistake wherever it stands
                yield at, why
            told.add(why)
            break


def no_layers(technique: str) -> str:
    """Why a step cannot work on a SavedModel without Keras's layers."""
    return (
        f"the imported SavedModel holds no layers that `{technique}` could change, only operations; convert it "
        "alone, or import the Keras model that it was exported from"
    )
