"""One image file: which kinds can be used, and its pixels. Imports no TensorFlow."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from components.common.base import size_bounds
from components.common.base.errors import ParedownError

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_PNG_END = b"IEND\xaeB`\x82"  # type and checksum of the last chunk
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA  # the marker before the first compressed pixels
# Offset of the bits per value in a PNG file: after the signature, a chunk's head, width and height.
_BIT_DEPTH = 24

# Pillow calls a phone's JPEG with a second picture behind the first MPO.
_FORMATS = ("PNG", "JPEG", "MPO")
_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")
_COLOURS = ("1", "L", "P", "RGB", *_ALPHA)

# Exceptions of Pillow for damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


class ImageFileError(ParedownError):
    """A file that cannot be used as an image; the message, after the file's name, says why and what to do."""


def is_image(first: bytes) -> bool:
    """Whether a file that begins with these bytes (eight are enough) says that it is PNG or JPEG."""
    return first.startswith((_PNG, _JPEG))


def check(path: str | Path) -> None:
    """Checks an image by its header and its end, and decodes all of it only if these leave doubts.

    Args:
        path: The file.

    Raises:
        ImageFileError: As `read`, except for damage in the middle of a file.
    """
    content = Path(path).read_bytes()
    image = _open(content)
    if _has_alpha(image) or not content.endswith((_PNG_END, _JPEG_END)):
        _load(image)
        _refuse_transparent(image)


def read(
    content: bytes, size: tuple[int, int], channels: int
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
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
        ImageFileError: If the file is not a PNG or JPEG, is damaged, or is of a kind whose 8-bit pixels could only
            be guessed: animated, CMYK, 16 bits, transparent.
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


def _open(content: bytes) -> Image.Image:
    """The image, its header read."""
    if not is_image(content):
        raise ImageFileError(
            "is not a PNG or JPEG image; remove or convert it, or exclude it by the pattern"
        )
    try:
        with warnings.catch_warnings():  # about very large images, which are refused anyway
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"is too large ({error}); make it smaller") from error
    except _DAMAGE as error:
        raise _damaged(error) from error
    if fault := size_bounds.excess(len(content), image.width * image.height * len(image.getbands())):
        raise ImageFileError(fault)
    if image.format != "PNG":
        _refuse_without_end(content)
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise ImageFileError("is animated; write one of its frames as a separate image")
    if image.mode == "CMYK":
        raise ImageFileError("is in CMYK, whose colours depend on a printer's profile; convert it to RGB")
    sixteen = image.format == "PNG" and content[_BIT_DEPTH] == 16
    if sixteen or image.mode not in _COLOURS:
        raise ImageFileError(
            "has 16 bits per value; write it with 8 bits, scaled to the range that matters"
            if sixteen
            else f"has pixels of kind {image.mode}; write it as RGB or grey with 8 bits"
        )
    return image


def _load(image: Image.Image) -> None:
    """Decodes the pixels."""
    try:
        image.load()
    except _DAMAGE as error:
        raise _damaged(error) from error


def _upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF orientation says.

    The orientation is its only tag then: `exif_transpose` writes all tags again, and fails at one whose type is not
    that of the standard.
    """
    bare = image.copy()
    bare.info.clear()
    try:
        bare.getexif()[ExifTags.Base.Orientation] = image.getexif().get(ExifTags.Base.Orientation)
    except (*_DAMAGE, TypeError):  # no tags that can be read
        return image
    return ImageOps.exif_transpose(bare)


def _refuse_without_end(content: bytes) -> None:
    """Refuses a JPEG file whose compressed pixels have no end: Pillow fills what is missing with grey.

    An interrupted download may have zeros up to its full length.
    """
    at = len(_JPEG_END)  # after the marker of the beginning, which is as long
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] not in (b"", bytes([_JPEG_SCAN])):
        # Another 0xff before a marker is a filler; a segment after a marker begins with its length.
        filled = content[at + 1] == 0xFF
        at += 1 if filled else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    if content.find(_JPEG_END, at) < 0:
        raise ImageFileError("is damaged (it has no end); fetch or write it again")


def _damaged(error: Exception) -> ImageFileError:
    why = str(error).split(" <_io", maxsplit=1)[0].strip() or type(error).__name__
    return ImageFileError(f"is damaged ({why}); fetch or write it again")


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _ALPHA or "transparency" in image.info


def _refuse_transparent(image: Image.Image) -> None:
    """Refuses transparent pixels; an alpha channel that is opaque everywhere is dropped."""
    if _has_alpha(image) and np.asarray(image.convert("RGBA").getchannel("A")).min() < 255:
        raise ImageFileError(
            "has transparent pixels, whose colour is not defined; put it on a background of your choice"
        )
