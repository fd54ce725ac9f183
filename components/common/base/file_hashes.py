"""SHA-256 of a folder's files: a file is identified by its content, wherever it is copied to."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from components.common.base.errors import ParedownError

# Custom property of `Model` and `PushedModel` artifacts: model files.
FILES = "files"
# Custom property of every artifact: all files, as the node left them.
CONTENT = "content"
# Custom property of an evaluation, its blessing, the selected model and a push: the model files that were judged.
JUDGED = "judged"
# Folders of a `Model` artifact that hold a model; beside them are records and logs.
MODEL_FOLDERS = ("Format-Serving", "Format-Keras")

_BLOCK = 1 << 20
_THREADS = min(8, os.cpu_count() or 1)
_WORTH_THREADS = 16 << 20  # bytes; fewer are read before threads have started
# Clocks of file systems tick this often or more often: a file may change twice in a tick and keep its times.
TICK_NS = 2_000_000_000

_Identity = tuple[int, int, int, int, int]


class ChangedFile(ParedownError):
    """A file is not as it was recorded; the text names it."""


class FileHashes:
    """SHA-256 of files, remembered as long as a file's inode, size and times are the same.

    Make one for each run or command, and keep none longer: a process that can write a file can also set its times.
    """

    def __init__(self, known: Mapping[_Identity, str] | None = None) -> None:
        """Begins with what is `known`: nothing by default, so that every file is read once."""
        self._known: dict[_Identity, str] = dict(known or {})
        self._used: dict[_Identity, str] = {}

    def digest(self, path: str | os.PathLike[str]) -> str:
        """SHA-256 of a file's content, in hexadecimal digits."""
        status = os.stat(path)
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = self._known.get(identity)
        if known is None:
            known = digest(path)
            if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) <= TICK_NS:
                return known
        self._known[identity] = self._used[identity] = known
        return known

    def used(self) -> dict[_Identity, str]:
        """The hashes that were asked for and can be remembered."""
        return dict(self._used)

    def of_folder(self, folder: str | os.PathLike[str]) -> dict[str, str]:
        """As `digests`."""
        return digests(folder, self.digest)

    def of_files(self, files: Iterable[Path]) -> list[str]:
        """SHA-256 of each file, in their order."""
        return _each(self.digest, files)


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def digests(folder: str | os.PathLike[str], of_file: Callable[[Path], str] = digest) -> dict[str, str]:
    """Path of each file below a folder, relative to it and with `/`, → SHA-256 of its content."""
    paths = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    files = sorted(path for path in paths if path.is_file())
    return {
        path.relative_to(folder).as_posix(): found
        for path, found in zip(files, _each(of_file, files), strict=True)
    }


def _each(of_file: Callable[[Path], str], files: Iterable[Path]) -> list[str]:
    files = list(files)
    if len(files) < 2 or sum(path.stat().st_size for path in files) < _WORTH_THREADS:
        return [of_file(path) for path in files]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS) as pool:  # hashlib lets other threads run meanwhile
        return list(pool.map(of_file, files))


def model_digests(uri: str | os.PathLike[str]) -> dict[str, str]:
    """Path of each of a `Model` artifact's model files, relative to its folder, → SHA-256 of its content."""
    return {
        f"{part}/{path}": value
        for part in MODEL_FOLDERS
        for path, value in digests(Path(uri) / part).items()
    }


def as_property(found: Mapping[str, str]) -> str:
    """Digests as the text of a property: JSON with sorted keys."""
    return json.dumps(dict(found), sort_keys=True)


def from_property(text: object) -> dict[str, str] | None:
    """Digests of a property's text; None if there is no such property, or if it is damaged."""
    try:
        found = json.loads(str(text)) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def difference(
    folder: str | os.PathLike[str], recorded: Mapping[str, str], found: Mapping[str, str]
) -> str:
    """The first file that is not as recorded, and how it differs; empty if all are.

    Args:
        folder: Folder of the files, for the text.
        recorded: Path relative to the folder → SHA-256.
        found: The same of the files that are there.
    """
    for name in sorted({*recorded, *found}):
        path = os.path.join(folder, name)
        if name not in found:
            return f"{path} is missing"
        if name not in recorded:
            return f"{path} was added"
        if found[name] != recorded[name]:
            return f"{path} was changed: its SHA-256 is {found[name][:12]}…, recorded was {recorded[name][:12]}…"
    return ""


def refuse_change(
    folder: str | os.PathLike[str], recorded: Mapping[str, str], found: Mapping[str, str], advice: str
) -> None:
    """Raises a ChangedFile with an advice if files are not as recorded; see `difference`."""
    changed = difference(folder, recorded, found)
    if changed:
        raise ChangedFile(f"{changed}; {advice}")
