"""An existing model before a run: its file, and what steps need of it. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from components.common.base.step_options import TrainingOptions
from components.common.models import model_format, named_code
from components.common.models.model_format import ModelFormat, ModelFormatError
from components.model_importer.params import ImportOptions
from pipeline.config import config_paths
from pipeline.config.config import Config
from pipeline.config.problem import Location, Problem


def check(
    config: Config, functions: Iterable[str] | None, config_folder: Path | None = None
) -> list[Problem]:
    """Looks at the imported model's file, if the config imports one.

    Args:
        config: The config.
        config_folder: Its folder, which relative paths are relative to.
        functions: Names that the module defines; None if there is no module, or not all of its names are known.
    """
    options = config.model.imported
    if options is None:
        return []
    at: Location = ("model", "import", options.key())
    file = options.file()
    if "://" in file:
        message = (
            f"{file} is not on this machine, and a run depends on the file's content; copy it here (for a cluster, "
            "kubeflow.model_path says where tasks find it)"
        )
        return [Problem(message, at)]
    try:
        found = model_format.recognise(file)
        digest = model_format.digest(file) if options.sha256 else None
    except ModelFormatError as error:
        meant = config_paths.meant_instead(file, config_folder) if config_folder is not None else None
        fix = (
            f"; relative paths are relative to the folder of the config, so write {meant}" if meant else ""
        )
        return [Problem(f"{file} {error}{fix}", at)]
    if digest != options.sha256:
        return [Problem(f"is not that of {file}, which is {digest}", ("model", "import", "sha256"))]
    defined = () if config.model.module is None else functions
    fault = _unfit(options, found, None if defined is None else set(defined))
    if fault:
        return [Problem(f"{file} {fault[1]}", fault[0])]
    return list(_check_steps(config, options, found, functions))


def _unfit(
    options: ImportOptions, found: ModelFormat, defined: set[str] | None
) -> tuple[Location, str] | None:
    """Why the file at a path cannot be what the options say.

    Args:
        options: Options of the import.
        found: What the file holds.
        defined: Names that the user's module defines; None if not all are known.
    """
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
        return ("model", "import", "signature"), "is a Keras file, which has no signatures; remove it"
    if options.path is None:
        return None
    default = "serving_default" if saved_model else ""
    if fault := found.unrepeatable.get(options.signature or default):
        return at, f"cannot be judged: {fault}"
    if not options.safe_mode:
        return None
    if fault := model_format.code_fault(found, options.signature):
        return at, fault
    if options.signature is None and defined is not None:
        for name in named_code.unresolved(found.foreign, defined):
            return at, model_format.lacks_code(name, found)
    return None


def _check_steps(
    config: Config, options: ImportOptions, found: ModelFormat, functions: Iterable[str] | None
) -> Iterator[Problem]:
    """Refuses steps that train if the model has no layers, or no loss and optimizer."""
    layers = found.kind != model_format.SAVED_MODEL and options.signature is None
    # If not all names are known, preflight looks at what build_model returns.
    builder = functions is None and config.model.module is not None
    compiled = builder or "build_model" in (functions or ()) or found.compiled is not False
    compiled = compiled or config.model.loss is not None
    reported: set[str] = set()
    for candidate, chain in config.candidates.items():
        for index, step in enumerate(chain.steps()):
            if not isinstance(step, TrainingOptions):
                continue
            at: Location = ("candidates", candidate, index, step.technique)
            functions = ", ".join(step.functions().values())
            if functions and config.model.module is None:
                yield Problem(f"needs a module that defines {functions}; write module: beside import:", at)
                break
            why = None if layers else no_layers(step.technique)
            if why is None and not compiled and step.like(config.model.baseline()).needs_labels():
                why = f"{options.file()} {model_format.NOT_COMPILED}"
            if why is None:
                continue
            if why not in reported:  # the same mistake wherever it is
                yield Problem(why, at)
            reported.add(why)
            break


def no_layers(technique: str) -> str:
    """Why a step cannot work on a SavedModel without Keras's layers."""
    return (
        f"the imported SavedModel has no layers that `{technique}` could change, only operations; only convert it, "
        "or import the Keras model that it was exported from"
    )
