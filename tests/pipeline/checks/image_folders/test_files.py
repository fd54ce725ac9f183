"""Image folders: whatever would be left out in silence, or read as something else, is refused before a run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.pipeline.checks.image_folders.pictures import JPEG, PNG, Folder, image


def test_folders_of_images_are_taken(folder: Folder) -> None:
    assert folder.check() == [] and folder.preflight() == []
    assert folder.check("data.classes=[dog, cat]", "data.class_weights={dog: 2}") == []


def test_a_text_file_in_a_class_folder_is_named(folder: Folder) -> None:
    folder.write("train/cat/notes.txt", b"three cats\n")
    message = folder.message()
    assert message.startswith(
        "'train/*/*' matches files that are not PNG or JPEG images: train/cat/notes.txt; remove"
    )
    assert message.endswith("such as 'train/*/*.png'")
    # Which leaves the JPEG files out: that is said, too.
    reported = folder.check('data.splits={train: "train/*/*.png", eval: "eval/*/*"}')[0].message
    assert "match no pattern: train/dog/1.jpg; widen the pattern 'train/*/*.png'" in reported


def test_a_pattern_may_leave_out_files_that_are_not_images(folder: Folder) -> None:
    folder.write("train/cat/notes.txt", b"three cats\n")
    assert folder.check('data.splits={train: "train/*/*[gG]", eval: "eval/*/*"}') == []


def test_other_kinds_of_images_are_named(folder: Folder) -> None:
    folder.write("eval/cat/2.gif", image("GIF", mode="L"))
    folder.write("eval/dog/.hidden", b"x")
    message = folder.message(key="data.splits.eval")
    assert "not PNG or JPEG images: eval/cat/2.gif, eval/dog/.hidden; remove" in message


def test_images_beside_the_class_folders_are_named(folder: Folder) -> None:
    folder.write("train/lost.png", PNG)
    folder.write("train/README.txt", b"not an image, and no harm")
    assert (
        "images are beside the class folders, where they have no class: train/lost.png; "
        in folder.message()
    )


def test_class_folders_without_images_are_named(folder: Folder) -> None:
    (folder.root / "data/train/owl").mkdir()
    folder.write("eval/empty/readme.md", b"x").unlink()
    messages = [problem.message for problem in folder.check()]
    assert messages == [
        "class folders without an image: train/owl; add images, or remove the folder",
        "class folders without an image: eval/empty; add images, or remove the folder",
    ]


def test_folders_in_class_folders_are_named(folder: Folder) -> None:
    folder.write("train/cat/kittens/1.png", PNG)
    assert (
        "class folders contain folders, whose files are not read: train/cat/kittens; " in folder.message()
    )


def test_a_pattern_without_class_folders_is_refused(folder: Folder) -> None:
    folder.write("a.png", PNG)
    folder.write("b.png", PNG)
    message = folder.message('data.splits={train: "a*", eval: "b*"}')
    assert message.startswith("'a*' has no class folders") and "'train/*/*'" in message


@pytest.mark.parametrize("name", ["label", "lable"])
def test_images_are_hashed_by_their_pixels_alone(folder: Folder, name: str) -> None:
    splits = f'data.splits={{pattern: "*/*/*", eval_fraction: 0.2, hash_by: {name}}}'
    message = folder.message(splits, key="data.splits.hash_by")
    assert message.startswith(f"{name!r} is not a feature that distinguishes images")
    assert folder.check(splits.replace(name, "image")) == []


def test_a_link_to_nothing_is_not_an_image(folder: Folder) -> None:
    (folder.root / "data/train/cat/2.png").symlink_to(folder.root / "gone.png")
    (folder.root / "data/train/cat/3.png").symlink_to(folder.root / "data/train/cat/1.png")
    assert folder.message() == (
        "'train/*/*' matches links to files that do not exist: train/cat/2.png; remove or fix them"
    )


def test_a_hidden_folder_is_not_a_class(folder: Folder) -> None:
    for split in ("train", "eval"):
        folder.write(f"{split}/.cache/1.png", PNG)
    assert folder.message(key="data.splits").startswith("hidden folders would be classes: .cache; ")
    assert folder.check('data.splits={train: "train/[!.]*/*", eval: "eval/[!.]*/*"}') == []


def test_one_set_of_class_folders_is_looked_at_as_two_are(folder: Folder) -> None:
    """Which a hash will divide."""
    hashed = 'data.splits={pattern: "train/*/*", eval_fraction: 0.5}'
    assert folder.check(hashed) == [] and folder.preflight(hashed) == []
    folder.write("train/cat/notes.txt", b"three cats\n")
    problems = folder.check(hashed, "data.classes=[cat, dog, owl]")
    assert [(problem.key(), problem.message.partition(";")[0]) for problem in problems] == [
        (
            "data.splits.pattern",
            "'train/*/*' matches files that are not PNG or JPEG images: train/cat/notes.txt",
        ),
        ("data.classes", "lists owl, but there is no folder of that name to train on"),
    ]
    folder.write("train/cat/notes.txt", JPEG[:-30])
    (problem,) = folder.preflight(hashed)
    assert problem.key() == "data.splits.pattern" and problem.message.startswith(
        "train/cat/notes.txt is damaged"
    )


def test_every_image_that_cannot_be_used_is_named_before_a_run(folder: Folder) -> None:
    folder.write("train/cat/cut.jpg", JPEG[:-30])
    for name in ("a", "b"):
        folder.write(f"eval/dog/{name}.jpg", image("JPEG", mode="CMYK"))
    folder.write("eval/cat/clear.png", image(mode="RGBA"))
    problems = folder.preflight()

    assert [problem.key() for problem in problems] == [
        "data.splits.train",
        "data.splits.eval",
        "data.splits.eval",
    ]
    first, clear, cmyk = [problem.message for problem in problems]
    assert first.startswith("train/cat/cut.jpg is damaged (") and first.endswith(
        "; fetch or write it again"
    )
    assert clear.startswith("eval/cat/clear.png has transparent pixels")
    assert cmyk.startswith("each of eval/dog/a.jpg, eval/dog/b.jpg is in CMYK")
    assert folder.preflight(cached=frozenset({"ImageExampleGen"})) == []


def test_an_image_of_another_size_than_the_input_is_refused(folder: Folder) -> None:
    (problem,) = folder.preflight("data.image.size=[8, 8]")
    assert "feature 'image' has 64 values" in problem.message and "(6, 8, 1)" in problem.message


def test_random_bytes_are_not_taken_for_an_image(folder: Folder) -> None:
    """A file that begins as an image, and is none."""
    noise: Callable[[int], bytes] = np.random.default_rng(1).bytes
    folder.write("train/cat/2.png", PNG[:8] + noise(300))
    folder.write("train/cat/3.jpg", JPEG[:4] + noise(300))
    messages = [problem.message for problem in folder.preflight()]
    assert [message.split(" ")[0] for message in messages] == ["train/cat/2.png", "train/cat/3.jpg"]
    assert all(" is damaged (" in message for message in messages)
