"""Image files as pixels, held against TensorFlow's decoders; what could only be guessed is refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pydantic import ValidationError

from components.image_example_gen import image_file
from components.image_example_gen.executor import to_example
from components.image_example_gen.image_file import ImageFileError
from components.image_example_gen.params import ImageOptions

HEIGHT, WIDTH = 24, 36
RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GREY = RNG.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
# Without detail that JPEG loses.
SMOOTH = np.stack(np.broadcast_arrays(*np.mgrid[0:240:10, 0:216:6], 90), axis=-1).astype(np.uint8)

ORIENTATION = 0x0112  # EXIF tag


def encoded(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def read(content: bytes, size: tuple[int, int] = (HEIGHT, WIDTH), channels: int = 3) -> np.ndarray:
    return image_file.read(content, size, channels)


def test_png_keeps_every_value() -> None:
    assert np.array_equal(read(encoded(COLOUR)), COLOUR)
    assert np.array_equal(read(encoded(GREY), channels=1)[..., 0], GREY)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("pixels", [SMOOTH, SMOOTH[..., 0]], ids=["colour", "grey"])
def test_decoding_is_that_of_tensorflow(pixels: np.ndarray, kind: str, channels: int) -> None:
    content = encoded(pixels, kind)
    if kind == "PNG":
        wanted = tf.io.decode_png(content, channels=channels).numpy()
    else:  # by default TensorFlow decodes with a faster, less exact transform
        wanted = tf.io.decode_jpeg(content, channels=channels, dct_method="INTEGER_ACCURATE").numpy()

    assert np.abs(read(content, channels=channels).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("size", [(12, 12), (7, 50), (48, 72)], ids=["smaller", "both", "larger"])
def test_resizing_is_bilinear_over_all_pixels(size: tuple[int, int]) -> None:
    wanted = tf.image.resize(COLOUR, size, antialias=True).numpy()

    got = read(encoded(COLOUR), size)
    assert got.shape == (*size, 3) and got.dtype == np.uint8
    assert np.abs(got - wanted).max() <= 1


def test_a_palette_is_looked_up() -> None:
    image = Image.fromarray(COLOUR).quantize(16)
    assert np.array_equal(read(encoded(image)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (4, np.flipud),
        (7, lambda a: np.swapaxes(np.rot90(a, 2), 0, 1)),
        (3, lambda a: np.rot90(a, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (8, np.rot90),
        (5, lambda a: np.swapaxes(a, 0, 1)),
    ],
)
def test_images_are_turned_as_their_exif_orientation_says(
    kind: str, orientation: int, upright: Any
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    plain, turned = encoded(SMOOTH, kind), encoded(SMOOTH, kind, exif=exif)
    wanted = upright(read(plain))

    assert np.array_equal(read(turned, wanted.shape[:2]), wanted)


def test_tags_of_another_type_are_ignored() -> None:
    tags = [(0x100, 2, 4, b"abc\0"), (ORIENTATION, 3, 1, b"\6\0\0\0"), (0x11A, 3, 1, b"\1\0\0\0")]
    written = b"".join(struct.pack("<HHI4s", *tag) for tag in tags)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + written + bytes(4)
    wanted = np.rot90(read(encoded(SMOOTH, "JPEG")), -1)
    assert np.array_equal(read(encoded(SMOOTH, "JPEG", exif=exif), wanted.shape[:2]), wanted)


@pytest.mark.parametrize("exif", [b"Exif\0\0none at all", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_tags_that_cannot_be_read_are_ignored(exif: bytes) -> None:
    assert np.array_equal(read(encoded(SMOOTH, "JPEG", exif=exif)), read(encoded(SMOOTH, "JPEG")))


def test_a_second_picture_behind_a_photo_is_not_an_animation() -> None:
    photo = Image.fromarray(SMOOTH)
    content = encoded(photo, "MPO", save_all=True, append_images=[photo.resize((4, 4))])
    assert np.array_equal(read(content), read(encoded(photo, "JPEG")))


def test_an_alpha_channel_that_hides_nothing_is_left_out() -> None:
    opaque = np.dstack([COLOUR, np.full((HEIGHT, WIDTH), 255, np.uint8)])
    assert np.array_equal(read(encoded(opaque)), COLOUR)


def sixteen_bits() -> bytes:
    return tf.io.encode_png(
        np.random.default_rng(5).integers(0, 65535, (8, 8, 3)).astype(np.uint16)
    ).numpy()


def animated() -> bytes:
    other = Image.fromarray(255 - COLOUR)
    return encoded(Image.fromarray(COLOUR), "PNG", save_all=True, append_images=[other])


def transparent(**changes: Any) -> bytes:
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[3, 4] = 254
    return encoded(np.dstack([COLOUR, alpha]), **changes)


def broken_off(**changes: Any) -> bytes:
    """A download that was given its length beforehand, and ended in the middle of the pixels."""
    pixels = np.random.default_rng(5).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    content = encoded(pixels, "JPEG", **changes)
    middle = content.rindex(b"\xff\xda") + 1000
    return content[:middle] + bytes(len(content) - middle)


def thumbnail() -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + encoded(GREY, "JPEG")


REFUSED = [
    pytest.param(b"cat\n" * 9, "is not a PNG or JPEG image; remove or convert it", id="text"),
    pytest.param(b"", "is not a PNG or JPEG image", id="nothing"),
    pytest.param(encoded(GREY, "GIF"), "is not a PNG or JPEG image", id="gif"),
    pytest.param(encoded(COLOUR, "BMP"), "is not a PNG or JPEG image", id="bmp"),
    pytest.param(encoded(COLOUR, "JPEG")[:-40], "is damaged (", id="truncated jpeg"),
    pytest.param(encoded(COLOUR)[:-40], "is damaged (", id="truncated png"),
    pytest.param(broken_off(), "is damaged (it has no end)", id="jpeg that ends in zeros"),
    pytest.param(broken_off(exif=thumbnail()), "is damaged (it has no end)", id="jpeg with a whole thumbnail"),
    pytest.param(encoded(COLOUR, "JPEG")[:12], "is damaged (", id="jpeg head"),
    pytest.param(encoded(COLOUR)[:12], "is damaged (", id="png head"),
    pytest.param(animated(), "is animated; write one of its frames", id="animated"),
    pytest.param(encoded(Image.new("CMYK", (8, 8)), "JPEG"), "is in CMYK", id="cmyk"),
    pytest.param(sixteen_bits(), "has 16 bits per value", id="16-bit colour"),
    pytest.param(encoded(Image.new("I;16", (8, 8))), "has 16 bits per value", id="16-bit grey"),
    pytest.param(transparent(), "has transparent pixels", id="transparent"),
    pytest.param(encoded(GREY, transparency=int(GREY[0, 0])), "has transparent pixels", id="transparent grey"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), REFUSED)
def test_what_could_only_be_guessed_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    """By the pipeline and, of these all, before it by header and end."""
    path = tmp_path / "image"
    path.write_bytes(content)
    for look in (lambda: read(content), lambda: image_file.check(path)):
        with pytest.raises(ImageFileError) as refused:
            look()
        assert str(refused.value).startswith(reason) and "<_io" not in str(refused.value)


@pytest.mark.parametrize("content", [encoded(COLOUR), encoded(COLOUR, "JPEG"), encoded(COLOUR) + b"\0" * 9])
def test_whole_images_pass(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(content)
    image_file.check(tmp_path / "image")


def test_damage_in_the_middle_is_found_where_the_image_is_decoded(tmp_path: Path) -> None:
    content = bytearray(encoded(COLOUR))
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "cat" / "1.png"
    path.parent.mkdir()
    path.write_bytes(content)
    params = {"image": {"size": [8, 8], "channels": 3}, "label": "label"}
    image_file.check(path)

    with pytest.raises(ImageFileError, match=rf"^{path} is damaged \(.*\); fetch or write it again$"):
        to_example(str(path), params)


def test_an_example_has_the_pixels_row_by_row_and_the_name_of_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "Löwe" / "1.png"
    path.parent.mkdir()
    path.write_bytes(encoded(COLOUR))
    params = {"image": {"size": [HEIGHT, WIDTH], "channels": 3}, "label": "kind"}
    feature = to_example(str(path), params).features.feature

    assert set(feature) == {"image", "kind"}
    assert feature["kind"].bytes_list.value == ["Löwe".encode()]
    assert np.array_equal(feature["image"].int64_list.value, COLOUR.ravel())


def test_sizes_and_channels() -> None:
    assert ImageOptions(size=[24, 36]).values() == 24 * 36 * 3
    for wrong in ({"size": [24]}, {"size": [0, 3]}, {"size": [8, 8], "channels": 2}):
        with pytest.raises(ValidationError):
            ImageOptions(**wrong)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_an_image_that_is_far_larger_than_its_file_is_refused_by_its_header(
    tmp_path: Path, mode: str
) -> None:
    content = encoded(Image.new(mode, (9_000, 9_000)), optimize=False)
    (tmp_path / "bomb.png").write_bytes(content)
    unpacked = 81_000_000 * (3 if mode == "RGB" else 1)

    reported = f"has {len(content):,} bytes and would unpack to {unpacked:,} or more"
    with pytest.raises(ImageFileError, match=reported):
        read(content)
    with pytest.raises(ImageFileError, match=reported):
        image_file.check(tmp_path / "bomb.png")
