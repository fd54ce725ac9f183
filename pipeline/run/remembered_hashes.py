"""Hashes of files that one command left for the next: what a plan shows as cached need not be read each time.

What a run takes from the cache is decided by fresh ones. They count for a file only as long as its inode, size and
times, that of its last change too, are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from components.common.base.file_hashes import FileHashes
from pipeline.base import user_cache
from pipeline.base.user_cache import UserCache


@contextmanager
def remembered(place: str) -> Iterator[FileHashes]:
    """The hashes of an earlier command, and those of this one for the next.

    Args:
        place: The owner of the files, e.g. a pipeline root: each has its own file of hashes.
    """
    name = hashlib.sha256(place.encode()).hexdigest()[:16]
    kept = UserCache(user_cache.folder() / f"hashes-{name}.json")
    known = {}
    with suppress(ValueError):
        known = {tuple(map(int, key.split(","))): str(digest) for key, digest in kept.rows.items()}
    hashes = FileHashes({(a, b, c, d, e): digest for (a, b, c, d, e), digest in known.items()})
    yield hashes
    used = hashes.used()
    if used != known:
        kept.save({",".join(map(str, identity)): digest for identity, digest in used.items()})
