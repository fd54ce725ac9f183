"""The account that a test's database server runs as: MariaDB and PostgreSQL refuse to run as root."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def popen_arguments(package_user: str) -> dict[str, Any]:
    """Arguments of subprocess.run and subprocess.Popen that start a program as one who may run it.

    Args:
        package_user: The account that the server's Debian package has made; only root needs it.
    """
    arguments: dict[str, Any] = {"preexec_fn": _end_with_parent, "start_new_session": True}
    if os.geteuid() == 0:
        account = pwd.getpwnam(package_user)
        arguments.update(user=account.pw_uid, group=account.pw_gid, extra_groups=[])
    return arguments


@contextmanager
def folder(package_user: str, prefix: str) -> Iterator[Path]:
    """A folder below /tmp that the server's account owns; removed afterwards.

    pytest's own temporary folders cannot be entered by another account, and their paths are longer
    than a Unix socket's may be.
    """
    path = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    try:
        if os.geteuid() == 0:
            account = pwd.getpwnam(package_user)
            os.chown(path, account.pw_uid, account.pw_gid)
        yield path
    finally:
        shutil.rmtree(path)


def _end_with_parent() -> None:
    """Has the system stop the server if the tests are killed and cannot."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
