"""The fingerprint of the data that a run reads, by which KFP's cache notices changes.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.config import Config
from pipeline.kubeflow import package as packages
from pipeline.kubeflow.package import PackageError
from pipeline.kubeflow.parameters import DATA_FINGERPRINT, DATA_PATH
from pipeline.kubeflow.spec import Spec
from pipeline.plan import data_files
from pipeline.plan.data_files import split_files

_READ_AT_ONCE = 2**20


@dataclass(frozen=True)
class Fingerprint:
    """The data's fingerprint for a run.

    Attributes:
        value: The fingerprint; None if the pipeline has no such parameter.
        folder: Folder whose files it is of; None if they could not be read.
    """

    value: str | None
    folder: str | None = None


def of_config(config: Config) -> str:
    """The fingerprint of a config's data; raises as `of_files`."""
    return of_files(config.data.path, data_files.patterns(config.data))


def of_files(folder: str | Path, splits: Mapping[str, str]) -> str:
    """Hash over names and contents of the files of splits.

    Unlike the fingerprint of local runs it does not use times: a copy of the same data on a cluster, or on another
    machine, has different ones.

    Args:
        folder: Folder of the files.
        splits: Split → pattern of its files, in the order of the plan.

    Returns:
        32 hexadecimal digits.

    Raises:
        FileNotFoundError: If a split has no file.
    """
    folder = os.path.abspath(folder)
    digest = hashlib.blake2b(digest_size=16)
    for split, pattern in splits.items():
        files = split_files(folder, pattern)
        if not files:
            raise FileNotFoundError(f"no file matches {pattern!r}, the pattern of the split {split!r}")
        for path in files:
            name = f"{split}/{path.relative_to(folder).as_posix()}"
            # Lengths first, so that no two sets of files read alike.
            digest.update(f"{len(name)} {name} {path.stat().st_size} ".encode())
            with open(path, "rb") as file:
                while block := file.read(_READ_AT_ONCE):
                    digest.update(block)
    return digest.hexdigest()


def of_run(spec: Spec, values: Mapping[str, Any], data: str | None, own: str | None = None) -> Fingerprint:
    """The fingerprint of the data that a run will read, as they are now.

    Args:
        spec: What is submitted.
        values: Parameters that are given.
        data: Folder here with the same files as data_path has; None if none is named.
        own: The config's data.path, which kubeflow.data_path is a copy of; None for a compiled file.

    Raises:
        PackageError: If the folder lacks the files, or the parameter is given as well.
    """
    if DATA_FINGERPRINT not in spec.parameters:
        if data is not None:
            raise PackageError(f"--data: the pipeline has no parameter {DATA_FINGERPRINT}; remove --data")
        return Fingerprint(None)
    if DATA_FINGERPRINT in values:
        if data is not None:
            raise PackageError(f"give either --data or --param {DATA_FINGERPRINT}=…, not both")
        return Fingerprint(values[DATA_FINGERPRINT])
    compiled = packages.defaults(spec)
    path = values.get(DATA_PATH)
    if path is None and own is None:
        path = compiled.get(DATA_PATH)
    folder = data or (path if path and Path(path).is_dir() else None if path else own)
    if folder is None:
        return Fingerprint(compiled.get(DATA_FINGERPRINT))
    splits = _splits(spec)
    try:
        return Fingerprint(of_files(folder, splits), folder)
    except FileNotFoundError as error:
        raise PackageError(
            f"{'--data ' if data else ''}{folder}: {error}; give a folder with the files that {DATA_PATH} has"
        ) from None


def _splits(spec: Spec) -> dict[str, str]:
    """Split → pattern of its files, from the task that reads the data."""
    for task in spec.tasks.values():
        source = task.parameters.get(DATA_FINGERPRINT)
        if source is not None and source.component_input_parameter == DATA_FINGERPRINT:
            config = json.loads(task.constants()["input_config"])
            return {split["name"]: split["pattern"] for split in config["splits"]}
    raise PackageError(f"no task reads {DATA_FINGERPRINT}; write the file again with `paredown compile`")
