"""The folder of the data and the files that each split's pattern matches in it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from components.common.base.near_names import closest
from components.common.base.texts import listed
from pipeline.base.texts import excerpt
from pipeline.checks import image_folders
from pipeline.checks.paths import unusable
from pipeline.config import config_paths
from pipeline.config.data_options import Data
from pipeline.config.problem import Location, Problem
from pipeline.plan import data_files
from pipeline.plan.data_files import HASHED_SPLIT, split_files
from pipeline.plan.spans import SpanError

_LOOKED_AT = 1000  # files of a folder that a message chooses from


def check(data: Data, config_folder: Path | None = None) -> list[Problem]:
    """Problems of `data.path` and the patterns of the splits; no file is read.

    Args:
        data: The section.
        config_folder: Folder of the config, which relative paths are relative to.
    """
    fault = _fault_of_folder(data.path, config_folder)
    if fault:
        return [Problem(fault, ("data", "path"))]
    try:
        patterns = data_files.patterns(data)
    except SpanError as error:
        at = ("data", "range") if error.split is None else _at(error.split)
        return [Problem(str(error), at)]
    return list(_check_splits(data, patterns))


def _fault_of_folder(path: str, config_folder: Path | None) -> str:
    folder = Path(path)
    if fault := unusable(path):
        return f"{fault}; write the path of a folder"
    if not os.path.isdir(folder):
        return _no_folder(path, config_folder)
    if not data_files.may_read(folder):
        return f"{path} cannot be read; run chmod, or write another folder"
    return "" if _files_below(folder) else f"{path} holds no files; write the folder of the examples"


def _check_splits(data: Data, patterns: dict[str, str]) -> Iterator[Problem]:
    folder = Path(data.path)
    found: dict[str, list[Path]] = {}
    for split, pattern in patterns.items():
        try:
            found[split] = split_files(folder, pattern)
        except ValueError as error:
            yield Problem(f"{excerpt(repr(pattern))} {error}", _at(split))
            continue
        for fault in _faults_of_files(data.path, split, pattern, found[split]):
            yield Problem(f"{pattern!r} {fault}", _at(split))
    shared = sorted(set(found.get("train", [])) & set(found.get("eval", [])))
    if shared:
        yield Problem(
            f"{data.splits.eval!r} and {data.splits.train!r}, the train split, both match "
            f"{_names(shared, folder)}; accuracy on training examples means nothing, so narrow one of the patterns",
            ("data", "splits", "eval"),
        )
    if data.format == "images" and not any(
        _closed(folder, patterns[split], files) for split, files in found.items()
    ):
        matched = {split: paths for split, paths in found.items() if paths}
        yield from image_folders.check(data, patterns, matched)


def _faults_of_files(path: str, split: str, pattern: str, files: list[Path]) -> Iterator[str]:
    folder = Path(path)
    broken, special = data_files.unread_matches(folder, pattern)
    if broken:
        yield f"matches links to files that do not exist: {_names(broken, folder)}; remove or fix them"
    if special:
        yield f"matches something that is not a file or folder (a FIFO or device): {_names(special, folder)}; remove it"
    closed = _closed(folder, pattern, files)
    if closed:
        yield f"reaches files or folders that cannot be read: {_names(closed, folder)}; run chmod, or exclude them"
        return
    empty = [file for file in files if not file.stat().st_size]
    if not files:
        which = "" if split == HASHED_SPLIT else f"{split} "
        yield (
            f"matches no file in {path}, which holds {listed(_files_below(folder))}; write a pattern that matches "
            f"the {which}files"
        )
    elif empty:
        yield f"matches files of 0 bytes: {_names(empty, folder)}; remove or replace them"


def _closed(folder: Path, pattern: str, files: list[Path]) -> list[Path]:
    """Matched files, and folders on the way to them, that may not be read."""
    unread = [file for file in files if not data_files.may_read(file)]
    return data_files.closed_folders(folder, pattern) + unread


def _at(split: str) -> Location:
    return ("data", "splits", data_files.option_of(split))


def _no_folder(path: str, config_folder: Path | None) -> str:
    if os.path.exists(path):
        return f"{path} is a file; write the folder that holds it"
    if config_folder is not None and (meant := config_paths.meant_instead(path, config_folder)):
        return f"there is no folder {path}; relative paths are relative to the folder of the config, so write {meant}"
    missing = Path(path)
    while not os.path.isdir(missing.parent):
        missing = missing.parent
    beside = itertools.islice(missing.parent.glob("*"), _LOOKED_AT)
    meant = closest(missing.name, [p.name for p in beside if os.path.isdir(p)])
    fix = f"did you mean {str(missing.with_name(meant))!r}?" if meant else "write an existing one"
    return f"there is no folder {path}; {fix}"


def _files_below(folder: Path) -> list[str]:
    names = (
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, files in os.walk(folder)
        for name in sorted(files)
    )
    return sorted(itertools.islice(names, _LOOKED_AT))


def _names(paths: Iterable[Path], folder: Path) -> str:
    return listed([os.path.relpath(path, folder) for path in paths])
