"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


@contextmanager
def writing(path: str | Path) -> Iterator[TextIO]:
    """Opens a text file that takes its place when it is complete.

    The text is written beside the place and moved there, so that a process that is killed leaves no half of
    it. If the block raises, the file stays as it was.

    Args:
        path: The file; its folder must exist.

    Yields:
        The file, open for writing.

    Raises:
        OSError: If it cannot be written.
    """
    folder, name = os.path.split(path)
    handle, beside = tempfile.mkstemp(dir=folder or ".", prefix=f".{name[:32]}-", suffix=".part")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            yield file
        os.chmod(beside, 0o666 & ~umask())  # mkstemp lets no other user read it
        os.replace(beside, path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = os.fspath(path)  # writing does not say it
        raise


def umask() -> int:
    """Permissions that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
