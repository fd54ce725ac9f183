"""Files with a password or token in them."""

from __future__ import annotations

import os
import stat

from components.common.base.errors import ParedownError

_LONGEST = 1 << 20  # bytes


class SecretFileError(ParedownError):
    """A file whose secret cannot be used."""


def read(path: str, private: bool = True) -> str:
    """The content of a file with a secret.

    Args:
        path: The file.
        private: Whether other users must not be able to read it.

    Raises:
        SecretFileError: If it is not a file of text that can be read, or others can read it.
    """
    try:
        # Opening a FIFO would wait. Permissions are those of the file that is open, whatever has its name later.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise SecretFileError(f"{path} cannot be read: not a regular file")
            if private and stat.S_IMODE(mode) & 0o077:
                raise SecretFileError(f"other users can read the secret in {path}; run chmod 600 {path}")
            return file.read(_LONGEST).decode("utf-8")
    except OSError as error:
        raise SecretFileError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretFileError(f"{path} cannot be read: not UTF-8 text") from None
