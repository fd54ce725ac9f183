"""One image file: what it must be, and its pixels. Imports no TensorFlow."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_PNG_END = b"IEND\xaeB`\x82"  # type and checksum of the last chunk
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA  # the marker before the first compressed pixels
# Where the bits per value stand in a PNG file: after the signature, a chunk's head, width and height.
_BIT_DEPTH = 24

# A phone's JPEG with a second picture behind the first is what Pillow calls MPO.
_FORMATS = ("PNG", "JPEG", "MPO")
_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")
_COLOURS = ("1", "L", "P", "RGB", *_ALPHA)

# EXIF orientation → what sets the image upright; EXIF 2.32, 4.6.4.A.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow raises for files that are damaged.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


class ImageFileError(Exception):
    """A file that cannot be used as an image; the message, after the file's name, says why and what to do."""


def is_image(first: bytes) -> bool:
    """Whether a file that begins with these bytes (eight are enough) says that it is PNG or JPEG."""
    return first.startswith((_PNG, _JPEG))


def check(path: str | Path) -> None:
    """Checks an image by its header and its end; all of it where these leave doubts.

    Args:
        path: The file.

    Raises:
        ImageFileError: As `read` does, but for damage in the middle of a file.
    """
    content = Path(path).read_bytes()
    image = _open(content)
    if _has_alpha(image) or not content.endswith((_PNG_END, _JPEG_END)):
        _load(image)
        _refuse_transparent(image)


def read(content: bytes, size: tuple[int, int], channels: int) -> np.ndarray:
    """Decodes an image, upright as its EXIF orientation says, and resizes it.

    Resizing is bilinear over all pixels that a new one covers (antialiased), and does not keep the ratio
    of the sides. An image that has the size already keeps its exact values. Grey is ITU-R 601 luma.

    Args:
        content: The file's bytes.
        size: Height and width.
        channels: 3 for RGB, 1 for grey.

    Returns:
        uint8 array of shape (height, width, channels).

    Raises:
        ImageFileError: Where the file is no PNG or JPEG, or damaged, or of a kind of which 8-bit pixels
            could only be guessed: animated, CMYK, 16 bits, transparent.
    """
    image = _open(content)
    _load(image)
    _refuse_transparent(image)
    image = _upright(image)
    image = image.convert("RGB" if channels == 3 else "L")
    height, width = size
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(height, width, channels)


def _open(content: bytes) -> Any:
    """The image, its header read."""
    if not is_image(content):
        raise ImageFileError(
            "is no PNG or JPEG image; remove or convert it, or leave it out by the pattern"
        )
    try:
        with warnings.catch_warnings():  # of very large ones, which is said once they are refused
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"is too large ({error}); make it smaller") from error
    except _DAMAGE as error:
        raise _damaged(error) from error
    if image.format != "PNG":
        _refuse_without_end(content)
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise ImageFileError("is animated; write one of its frames as an image of its own")
    if image.mode == "CMYK":
        raise ImageFileError("is in CMYK, whose colours depend on a printer's profile; convert it to RGB")
    sixteen = image.format == "PNG" and content[_BIT_DEPTH] == 16
    if sixteen or image.mode not in _COLOURS:
        raise ImageFileError(
            "has 16 bits a value; write it with 8 bits, scaled to the range that matters"
            if sixteen
            else f"has pixels of kind {image.mode}; write it as RGB or grey with 8 bits"
        )
    return image


def _load(image: Any) -> None:
    """Decodes the pixels."""
    try:
        image.load()
    except _DAMAGE as error:
        raise _damaged(error) from error


def _upright(image: Any) -> Any:
    """The image as its EXIF orientation says.

    Pillow's `exif_transpose` writes all tags anew besides, and ends in an error where one of them is of
    another type than its standard has.
    """
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except (*_DAMAGE, TypeError):  # it has none that can be read
        return image
    return image if turn is None else image.transpose(turn)


def _refuse_without_end(content: bytes) -> None:
    """Refuses a JPEG file whose compressed pixels have no end: Pillow makes grey of what is missing.

    A download that broke off may have zeros up to its full length.
    """
    at = len(_JPEG_END)  # after the marker of the beginning, which is as long
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] not in (b"", bytes([_JPEG_SCAN])):
        # Another 0xff before a marker is a filler; what a marker begins says how long it is.
        filled = content[at + 1] == 0xFF
        at += 1 if filled else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    if content.find(_JPEG_END, at) < 0:
        raise ImageFileError("is damaged (it has no end); fetch or write it again")


def _damaged(error: Exception) -> ImageFileError:
    why = str(error).split(" <_io", maxsplit=1)[0].strip() or type(error).__name__
    return ImageFileError(f"is damaged ({why}); fetch or write it again")


def _has_alpha(image: Any) -> bool:
    return image.mode in _ALPHA or "transparency" in image.info


def _refuse_transparent(image: Any) -> None:
    """Refuses pixels that show what is behind them; an alpha channel that hides nothing is left out."""
    if _has_alpha(image) and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        raise ImageFileError(
            "has transparent pixels, whose colour is not defined; put it on a background of your choice"
        )
