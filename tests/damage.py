"""Damages to files, as failing disks, killed programs and people make them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path


def flip(path: Path, count: int = 200, seed: int = 1) -> None:
    """Inverts bytes at random places."""
    content = bytearray(path.read_bytes())
    for place in random.Random(seed).sample(range(len(content)), min(count, len(content))):
        content[place] ^= 0xFF
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Leaves the first half."""
    os.truncate(path, path.stat().st_size // 2)


def keep_time(change: Callable[[Path], None], path: Path) -> None:
    """Changes a file, which keeps its time of modification."""
    before = path.stat()
    change(path)
    if path.exists():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def damage(path: Path, numbers: random.Random) -> None:
    """Random bytes, a cut, more bytes, or no file; at times the file keeps its time of modification."""
    size = path.stat().st_size

    def some(file: Path) -> None:
        kind = numbers.choice(["bytes", "cut", "longer", "gone"] if size else ["longer", "gone"])
        if kind == "bytes":
            flip(file, numbers.randint(1, 200), numbers.randrange(2**30))
        elif kind == "cut":
            os.truncate(file, numbers.randrange(size))
        elif kind == "longer":
            with file.open("ab") as opened:
                opened.write(numbers.randbytes(numbers.randint(1, 500)))
        else:
            file.unlink()

    if numbers.random() < 0.5:
        keep_time(some, path)
    else:
        some(path)
