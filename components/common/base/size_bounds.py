"""How much a file may grow when it is unpacked: files that say more are refused before anything unpacks them."""

from __future__ import annotations

MEGABYTE = 2**20
# Unpacked size that any file may have, however small it is.
ALWAYS = 64 * MEGABYTE
# Weights compress about tenfold if most are zero, and TFRecord files of drawings some twentyfold. What unpacks to more
# than this many times its size has been made to do so: deflate ends at 1,032.
RATIO = 100


def most(stored: int) -> int:
    """Bytes that a file of `stored` bytes may unpack to."""
    return max(ALWAYS, RATIO * stored)


def excess(stored: int, unpacked: int) -> str | None:
    """Why a file of `stored` bytes may not unpack to `unpacked` ones, after its name; None if it may."""
    if unpacked <= most(stored):
        return None
    return (
        f"has {stored:,} bytes and would unpack to {unpacked:,} or more, but a file of its size may unpack to at "
        f"most {most(stored):,}; save it again without compression, or fetch it from a source that you trust"
    )
