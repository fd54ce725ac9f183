"""Keeping what libraries print off the terminal."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.live import Live
from rich.spinner import Spinner

from pipeline.base.console import make_console


class _LossyFile(io.FileIO):
    """A file that loses what a full disk does not take: a log must not end what it is about."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError:
            return len(content)


@contextmanager
def output_to(path: Path, about: str = "") -> Iterator[tuple[TextIO, TextIO]]:
    """Sends standard output and standard error, also of C++ code, to a file.

    Args:
        path: The file; output is appended to it.
        about: What log records are marked with, if several processes write to the file.

    Yields:
        Text streams to the former standard output and standard error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # TensorFlow's C++ code writes to the descriptors rather than to sys.stdout.
    saved = os.dup(1), os.dup(2)
    terminal = (
        os.fdopen(saved[0], "w", encoding="utf-8", buffering=1, closefd=False),
        os.fdopen(saved[1], "w", encoding="utf-8", buffering=1, closefd=False),
    )
    python_streams = sys.stdout, sys.stderr
    log = io.TextIOWrapper(
        io.BufferedWriter(_LossyFile(path, "a")), "utf-8", "backslashreplace", line_buffering=True
    )
    handler = logging.StreamHandler(log)
    mark = f"[{about}] ".replace("%", "%%") if about else ""
    handler.setFormatter(logging.Formatter(f"%(asctime)s {mark}%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    previous_level = root.level
    try:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = log
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("default")  # the log has what the terminal is spared
            yield terminal
    finally:
        root.removeHandler(handler)
        root.setLevel(previous_level)
        sys.stdout, sys.stderr = python_streams
        for stream in terminal:
            stream.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in saved:
            os.close(descriptor)
        log.close()


@contextmanager
def quiet(doing: str) -> Iterator[Path]:
    """Keeps what libraries print off the terminal, and shows what is in progress.

    Args:
        doing: As "Importing TensorFlow …".

    Yields:
        A file with what they print, which is gone at the end of the block.
    """
    with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
        path = Path(folder) / "libraries.log"
        with (
            output_to(path) as (_, err),
            # Rich would redirect Python's streams, which lead to the file, back to the terminal.
            Live(
                Spinner("dots", doing, style="status.spinner"),
                console=make_console(err),
                transient=True,
                refresh_per_second=12.5,
                redirect_stdout=False,
                redirect_stderr=False,
            ),
        ):
            yield path
