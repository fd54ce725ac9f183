"""A pretrained model before TensorFlow looks at it: its file, and trainings that it rules out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from components.common.base.near_names import nearest
from components.common.base.step_options import TuningOptions
from components.common.models import model_format, named_code
from pipeline.checks import distribution_checks
from pipeline.config import config_paths
from pipeline.config.config import Config
from pipeline.config.pretrained_options import PretrainedOptions
from pipeline.config.problem import Location, Problem

_WITHOUT_CODE = "save the model without, or build it in your module and load its weights there"


def check(
    config: Config, functions: Iterable[str] | None, config_folder: Path | None = None
) -> list[Problem]:
    """Problems of the file of a pretrained model, and of trainings that freeze layers.

    Args:
        config: The config.
        config_folder: Its folder, which relative paths are relative to.
        functions: Names that the module defines; None if there is no module, or not all of its names are known.
    """
    defined = () if config.model.module is None else functions
    return [
        *_check_file(config.model.pretrained, None if defined is None else set(defined), config_folder),
        *_check_undivided(config),
    ]


def _check_file(
    options: PretrainedOptions | None, defined: set[str] | None, config_folder: Path | None
) -> Iterator[Problem]:
    """Refuses a file that does not exist, holds something else, or would run code."""
    file = options.file() if options else None
    if options is None or file is None:
        return
    at: Location = ("model", "pretrained", "path" if options.path else "weights")
    if not os.path.exists(file) and options.path:
        meant = config_paths.meant_instead(file, config_folder) if config_folder is not None else None
        fix = (
            f"; relative paths are relative to the folder of the config, so write {meant}"
            if meant
            else _beside(file)
        )
        yield Problem(f"there is no file {file}{fix}", at)
        return
    try:
        found = model_format.recognise(file)
    except model_format.ModelFormatError as error:
        yield Problem(f"{file} {error}", at)
        return
    kind = found.kind
    if options.path and kind in model_format.WEIGHTS_ALONE:
        yield Problem(
            f"{file} holds weights without a model; write a file that model.save made, or application: … and "
            f"weights: {file}",
            at,
        )
    elif options.path and kind not in model_format.WITH_LAYERS:
        yield Problem(
            f"{file} is a SavedModel without Keras layers, so there is no layer to cut at or freeze; save it with "
            "model.save of tf_keras",
            at,
        )
    elif options.path and (fault := model_format.code_fault(found, advice=_WITHOUT_CODE)):
        yield Problem(f"{file} {fault}", at)
    elif (
        options.path and defined is not None and (missing := named_code.unresolved(found.foreign, defined))
    ):
        yield Problem(f"{file} {model_format.lacks_code(missing[0], found)}", at)
    elif not options.path and kind == model_format.SAVED_MODEL:
        yield Problem(f"{file} is a SavedModel, not weights; write a file that model.save_weights made", at)


def _check_undivided(config: Config) -> Iterator[Problem]:
    """Refuses trainings that freeze layers or go by stages among several devices or processes."""
    for found in distribution_checks.trainings(config):
        if found.asked.kind == "none":
            continue
        if found.at == ("model", "train") and (config.model.pretrained or config.model.train.stages):
            yield Problem(
                f"{found.asked.kind} cannot train a pretrained model or in stages, because layers are frozen and "
                "slowed down in one process on one device; write distribution: none",
                (*found.at, "distribution"),
            )
        elif isinstance(found.options, TuningOptions) and found.options.freeze:
            yield Problem(
                f"layers are frozen in one process on one device, and {found.asked.kind} has more; write "
                "distribution: none in this step, or remove freeze",
                (*found.at, "freeze"),
            )


def unreachable(options: PretrainedOptions | None, mounts: Iterable[str]) -> str | None:
    """Why a task on a cluster would not find a pretrained model's file; None if it would.

    Args:
        options: As in the config.
        mounts: Folders of volumes that each task has.
    """
    file = options.file() if options else None
    if file is None:
        return None
    if any(Path(file).is_relative_to(mount) for mount in mounts):
        return None
    here = Path.cwd()
    where = Path(os.path.abspath(file))
    if os.path.isabs(file) or not where.is_relative_to(here):
        return (
            f"{file} is on this machine, where no task on a cluster can read it; write a path relative to {here}, "
            "of a file that the image holds, or one below the mount of one of kubeflow.volumes"
        )
    hidden = next((part for part in where.relative_to(here).parts if part.startswith(".")), None)
    if hidden:
        return (
            f"{file} is below {hidden}, and the image holds no hidden files; move it, for example to data/"
        )
    return None


def _beside(file: str) -> str:
    folder = Path(file).parent
    if not folder.is_dir():
        return f"; there is no folder {folder} either"
    names = [path.name for path in folder.iterdir()]
    return nearest(Path(file).name, names) or f"; write the path of a Keras file, not {file!r}"
