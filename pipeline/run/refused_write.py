"""Writes that the system refused while a node was at work: no space, a quota, a read-only file system, a broken
disk."""

from __future__ import annotations

import errno
import os
import re

from components.common.base.errors import ParedownError, causes
from pipeline.config.metadata_url import StoreError

_FIX = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free some of your quota there",
    errno.EROFS: "make it writable, or set another folder in run.pipeline_root or push.directory",
    errno.EIO: "check the disk",
}
# How TensorFlow and HDF5 name the file in the text of an error.
_FILE = re.compile(r"(?:filename = '([^']+)'|(/[^;\n]*); )")
_NODE = re.compile(r"\{\{.*?\}\}")


class RefusedWrite(ParedownError):
    """The system refused it; the text names the file or folder, and says what to do."""


def find(error: BaseException, folder: str) -> RefusedWrite | None:
    """The refusal that an exception came from; None if it came from something else.

    Libraries wrap it, and TensorFlow and HDF5 say only in the text which file and why.

    Args:
        error: What a node raised.
        folder: What to name if no exception names a file.
    """
    chain = list(causes(error))
    if any(isinstance(cause, StoreError | RefusedWrite) for cause in chain):
        return None  # which says all of it
    code = next(filter(None, map(_code, chain)), None)
    if code is None:
        return None
    path = next(filter(None, (_path(cause) for cause in chain if _code(cause))), "") or folder
    return RefusedWrite(
        f"{path}: {os.strerror(code)}; {_FIX[code]} and run again, finished nodes are cached"
    )


def _code(cause: BaseException) -> int | None:
    if isinstance(cause, OSError) and cause.errno:
        return cause.errno if cause.errno in _FIX else None
    if "attempt to write a readonly database" in str(cause):
        return errno.EROFS
    return next((code for code in _FIX if os.strerror(code) in str(cause)), None)


def _path(cause: BaseException) -> str:
    if isinstance(cause, OSError) and (name := cause.filename2 or cause.filename):
        return os.fsdecode(name) if isinstance(name, str | bytes) else ""
    found = _FILE.search(_NODE.sub("", str(cause)))
    return found[1] or found[2] if found else ""
