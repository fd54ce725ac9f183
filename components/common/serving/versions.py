"""The versions of a model: folders that appear and vanish while they are served."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from google.protobuf import text_format

from components.common.base.errors import ParedownError, describe
from components.common.serving import saved_model_servable, tflite_servable
from components.common.serving.request_error import Fault, RequestError
from components.common.serving.servable import Servable, ServableError
from components.common.serving.stubs import model_server_config_pb2

# The version that a request names, by number or label; None is the newest.
Wanted = int | str | None

_log = logging.getLogger(__name__)
# Versions whose end is still known.
_REMEMBERED = 100
# Where `push.serving` writes labels, in a version's folder.
_LABELS = "deploy/models.config"
# Files of a version folder that show whether the model in it is another.
_SHOWN_BY = (
    "",
    *tflite_servable.FILES,
    saved_model_servable.FILE,
    "variables",
    "variables/variables.index",
)


class State(IntEnum):
    """State of a version, with the numbers of TensorFlow Serving's ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class Version:
    """A version and what became of it.

    Attributes:
        number: Name of its folder.
        state: Whether it is served.
        servable: If it is.
        error: Why it could not be loaded; empty if it could.
        identity: Changes if the folder becomes another.
    """

    number: int
    state: State
    servable: Servable | None = None
    error: str = ""
    identity: tuple[int, ...] = ()


class Model:
    """A model whose versions are served as their folders appear; the newest ones are.

    The newest version that has a `deploy/models.config`, which `push.serving` writes, may label versions there. Then
    these are served, and no others.

    Attributes:
        name: As clients name it.
        folder: Folder of the version folders.
    """

    def __init__(self, name: str, folder: Path, keep: int = 1, threads: int = 1, saved_model: bool = False):
        """Looks at nothing yet: `refresh` does.

        Args:
            name: As clients name it.
            folder: Folder of the version folders, whose names are numbers.
            keep: Number of the newest versions that are served.
            threads: Number of predictions at once.
            saved_model: Whether the SavedModel of each version is served, even if it also has a TFLite file.
        """
        self.name = name
        self.folder = folder
        self._keep = keep
        self._threads = threads
        self._saved_model = saved_model
        # Replaced as a whole, by one thread; others read them at any time.
        self._versions: Mapping[int, Version] = {}
        self._labels: Mapping[str, int] = {}

    @property
    def versions(self) -> Mapping[int, Version]:
        """Number → version, of all that were loaded or tried, the newest first."""
        return self._versions

    @property
    def ready(self) -> bool:
        """Whether a version is served."""
        return any(version.servable for version in self._versions.values())

    def number(self, wanted: Wanted) -> int | None:
        """The number that a request means; None is the newest version.

        Raises:
            RequestError: If no version has the label.
        """
        if not isinstance(wanted, str):
            return wanted
        if wanted not in self._labels:
            raise RequestError(Fault.NOT_FOUND, f"Unrecognized servable version label: {wanted}")
        return self._labels[wanted]

    def find(self, wanted: Wanted = None) -> tuple[int, Servable]:
        """A version that is served.

        Args:
            wanted: Number or label of the version; None for the newest.

        Raises:
            RequestError: If it is not served.
        """
        number = self.number(wanted)
        versions = self._versions
        chosen = versions if number is None else {number: versions.get(number)}
        for version in chosen.values():
            if version is not None and version.servable is not None:
                return version.number, version.servable
        asked = f"Latest({self.name})" if number is None else f"Specific({self.name}, {number})"
        known = versions.get(number) if number is not None else next(iter(versions.values()), None)
        why = f": {known.error}" if known is not None and known.error else ""
        raise RequestError(Fault.NOT_FOUND, f"Servable not found for request: {asked}{why}")

    def refresh(self) -> None:
        """Loads versions that appeared, then unloads those that vanished or are not to be served any more.

        Requests that hold a version finish on it. If the folder itself cannot be read, everything stays as it is.
        A version that cannot be loaded is tried again when its files change; older ones are served meanwhile.
        """
        try:
            found = self._found()
        except OSError as error:
            _log.warning("%s: %s cannot be read: %s", self.name, self.folder, error.strerror or error)
            return
        labels = self._labels_of(found)
        kept: set[int] = set()
        for number in sorted(found, reverse=True):
            wanted = number in labels.values() if labels else len(kept) < self._keep
            if wanted and self._is_served(number, found[number]):
                kept.add(number)
        self._labels = labels
        for number, version in self._versions.items():
            if number not in kept and (version.servable or number not in found):
                self._set(Version(number, State.END, identity=version.identity))
                if version.servable:
                    _log.info("%s: version %d is no longer served", self.name, number)
        self._versions = dict(list(self._versions.items())[:_REMEMBERED])

    def _labels_of(self, found: Mapping[int, Path]) -> Mapping[str, int]:
        """Label → version, by the newest version that has labels; as they were if they cannot be read."""
        files = (found[number] / _LABELS for number in sorted(found, reverse=True))
        file = next(filter(Path.is_file, files), None)
        if file is None:
            return {}
        try:
            config = text_format.Parse(file.read_text("utf-8"), model_server_config_pb2.ModelServerConfig())
        except (OSError, ValueError, text_format.ParseError) as error:
            _log.warning("%s: labels cannot be read from %s: %s", self.name, file, error)
            return self._labels
        return {
            label: number
            for model in config.model_config_list.config
            for label, number in model.version_labels.items()
        }

    def _is_served(self, number: int, folder: Path) -> bool:
        """Whether a version is served; loads it unless it is, or was tried as it is now."""
        known = self._versions.get(number)
        identity = _identity(folder)
        tried = known is not None and known.identity == identity and (known.servable or known.error)
        if not tried:
            self._load(number, folder, identity, known)
        return self._versions[number].servable is not None

    def _found(self) -> dict[int, Path]:
        found: dict[int, Path] = {}
        with os.scandir(self.folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.isascii() and entry.name.isdecimal() and entry.is_dir():
                    found.setdefault(int(entry.name), Path(entry.path))
        return found

    def _load(self, number: int, folder: Path, identity: tuple[int, ...], known: Version | None) -> None:
        if known is None or known.servable is None:
            self._set(Version(number, State.LOADING, identity=identity))
        try:
            servable = load(folder, self._threads, self._saved_model)
        except Exception as error:  # a version that breaks in any way must not end the server
            text = str(error) if isinstance(error, ParedownError) else describe(error)
            _log.error("%s: version %d cannot be served: %s", self.name, number, text)
            # If a folder was replaced by a broken one, the version that is loaded stays.
            served = known.servable if known is not None else None
            state = State.AVAILABLE if served else State.END
            self._set(Version(number, state, served, text, identity))
        else:
            self._set(Version(number, State.AVAILABLE, servable, identity=identity))
            _log.info("%s: version %d is served on %s", self.name, number, servable.runtime)

    def _set(self, version: Version) -> None:
        changed = {**self._versions, version.number: version}
        self._versions = dict(sorted(changed.items(), reverse=True))


def load(folder: Path, threads: int, saved_model: bool) -> Servable:
    """Loads a version folder: its TFLite file, or its SavedModel if it has no such file or `saved_model` says so.

    Raises:
        ServableError: If it has neither, or it does not load.
    """
    file = next((folder / name for name in tflite_servable.FILES if (folder / name).is_file()), None)
    has_saved_model = (folder / saved_model_servable.FILE).is_file()
    if has_saved_model and (saved_model or file is None):
        return saved_model_servable.SavedModelServable(folder)
    if file is None or saved_model:
        kinds = "a SavedModel" if saved_model else "a TFLite file (tflite or model.tflite) or a SavedModel"
        raise ServableError(f"{folder} does not have {kinds}")
    return tflite_servable.TFLiteServable(file, threads)


def _identity(folder: Path) -> tuple[int, ...]:
    """Numbers that differ if the folder, or the model in it, is another."""
    numbers: list[int] = []
    for name in _SHOWN_BY:
        try:
            status = os.stat(folder / name)
        except OSError:
            continue
        numbers += [status.st_ino, status.st_mtime_ns, status.st_size if name else 0]
    return tuple(numbers)
