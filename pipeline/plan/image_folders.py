"""Folders of images: what they must look like, and what their node is given. Imports no TensorFlow.

Whatever would be left out in silence, or read as something else, is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from components.common.base.near_names import nearest
from components.common.base.texts import listed
from components.image_example_gen.params import IMAGE_FEATURE
from pipeline.config.data_options import Data
from pipeline.config.problem import Location
from pipeline.plan import data_files
from pipeline.plan.code_version import component_version
from pipeline.plan.data_files import HASHED_SPLIT
from pipeline.plan.node import TRAINED_SPLIT, Parameter, to_json

COMPONENT = "components.image_example_gen.component.ImageExampleGen"
# Those of the node that TFX's own ExampleGen does not have.
PARAMETERS = ("params", "code_version")

# TFDV infers a domain of so many values at most: tfdv.infer_schema(max_string_domain_size=100).
_MOST_INFERRED = 100
_LISTED = 6
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")

_Mistakes = Iterator[tuple[Location, str]]


def parameters(data: Data) -> dict[str, Parameter]:
    """`PARAMETERS` of the node that reads a config's images."""
    assert data.image is not None
    params = {
        "image": data.image.model_dump(),
        "label": data.label,
        "pillow": metadata.version("pillow"),  # which decodes and resizes
    }
    return {
        "params": to_json(params),
        "code_version": component_version("components.image_example_gen.executor"),
    }


def class_of(path: Path) -> str:
    """Class of an image: the name of the folder that it is in."""
    return path.parent.name


def classes(data: Data, train_files: list[Path]) -> list[str]:
    """Classes of image folders in the order of the model's outputs."""
    return list(data.classes or sorted({class_of(path) for path in train_files}))


def check(data: Data, patterns: Mapping[str, str], found: Mapping[str, list[Path]]) -> _Mistakes:
    """What is wrong with the folders of images, short of what decoding would tell.

    Args:
        data: The section.
        patterns: Input split → its pattern.
        found: Input split → the files that it matches, at least one; those whose pattern is wrong are left
            out.
    """
    folder = Path(data.path)
    used = {path for paths in found.values() for path in paths}
    told: set[Path] = set()
    for split, paths in found.items():
        at: Location = ("data", "splits", data_files.option_of(split))
        if len(Path(patterns[split]).parts) < 2:
            yield (
                at,
                f"{patterns[split]!r} has no class folders, by which images are told apart; write e.g. "
                f"'{'*/*' if split == HASHED_SPLIT else f'{split}/*/*'}'",
            )
            return
        strangers = [path for path in paths if path.stat().st_size and not _is_image(path)]
        if strangers:
            yield (
                at,
                f"{patterns[split]!r} matches files that are not PNG or JPEG images: {_names(strangers, folder)}; "
                f"remove or convert it, or write a pattern that leaves it out, as "
                f"'{Path(patterns[split]).parent}/*.png'",
            )
        yield from ((at, message) for message in _unread(folder, patterns[split], used, told))
    yield from _check_classes(data, found)
    if data.splits.hash_by not in (None, IMAGE_FEATURE):
        yield (
            ("data", "splits", "hash_by"),
            f"{data.splits.hash_by!r} is no feature that tells images apart: these have {IMAGE_FEATURE!r} and "
            f"the class, {data.label!r}, which would be in one split with all of its images; leave hash_by out",
        )


def _unread(folder: Path, pattern: str, used: set[Path], told: set[Path]) -> Iterator[str]:
    """Images that nothing would read, and class folders without any."""
    beside, unmatched, nested, empty = [], [], [], []
    for entry in sorted(folder.glob(str(Path(pattern).parent))):
        if entry in told:  # two splits may share class folders
            continue
        told.add(entry)
        if not entry.is_dir():
            if _is_image(entry):
                beside.append(entry)
            continue
        before = len(unmatched) + len(nested)
        with os.scandir(entry) as inside:
            read = False
            for item in inside:
                path = entry / item.name
                if path in used:
                    read = True
                elif item.is_dir():
                    nested.append(path)
                elif _is_image(path):
                    unmatched.append(path)
        if not read and len(unmatched) + len(nested) == before:
            empty.append(entry)
    if beside:
        yield (
            f"images lie beside the class folders, where they have no class: {_names(beside, folder)}; move each "
            "into the folder of its class"
        )
    if unmatched:
        yield (
            f"images in class folders match no pattern: {_names(unmatched, folder)}; widen the pattern "
            f"{pattern!r}, or move them away"
        )
    if nested:
        yield (
            f"class folders hold folders, whose files nothing reads: {_names(nested, folder)}; put the images "
            "into the class folder itself, or write a pattern with one level more"
        )
    if empty:
        yield f"class folders without an image: {_names(empty, folder)}; add images, or remove the folder"


def _check_classes(data: Data, found: Mapping[str, list[Path]]) -> _Mistakes:
    by_split = {split: {class_of(path) for path in paths} for split, paths in found.items()}
    hidden = sorted({name for names in by_split.values() for name in names if name.startswith(".")})
    if hidden:
        yield (
            ("data", "splits"),
            f"{', '.join(hidden)} would be a class, and is a hidden folder; remove it, or write class folders "
            "as '[!.]*' in the patterns",
        )
    splits = list(by_split)
    for split, other in zip(splits, splits[1:] + splits[:1], strict=True):
        only = sorted(by_split[split] - by_split[other])
        if only:
            why = "has no images to learn it" if other == "train" else "would not measure it"
            yield (
                ("data", "splits", data_files.option_of(split)),
                f"only the {split} split has images of {listed(only, _LISTED)}: the {other} split {why}; add some, or "
                "remove the folder",
            )
    trained = by_split.get(TRAINED_SPLIT) or by_split.get(HASHED_SPLIT) or set()
    if data.classes is not None:
        unknown = sorted(set().union(*by_split.values()) - set(data.classes))
        unused = [name for name in data.classes if trained and name not in trained]
        if unknown:
            yield (
                ("data", "classes"),
                f"has no {listed(unknown, _LISTED)}, of which there are folders; add what is missing",
            )
        if unused and not unknown:  # else one is likely to be the other, misspelt
            yield (
                ("data", "classes"),
                f"{listed(unused, _LISTED)} has no folder to train on; add images, or remove it",
            )
    elif len(trained) > _MOST_INFERRED:
        yield (
            ("data", "classes"),
            f"is missing: the train split has {len(trained)} classes, and schemas list {_MOST_INFERRED} at most; "
            "write classes: [...] with all of them, in the order of the model's outputs",
        )
    weights = data.named_class_weights()
    if isinstance(weights, dict) and data.classes is None and trained:
        for name in sorted(set(weights) - trained):
            yield (
                ("data", "class_weights"),
                f"{name!r} is no class of the train split{nearest(name, trained) or ''}; it has "
                f"{listed(sorted(trained), _LISTED)}",
            )


def _is_image(path: Path) -> bool:
    if not path.is_file():  # a link to nothing, say
        return False
    with path.open("rb") as file:
        return file.read(8).startswith(_SIGNATURES)


def _names(paths: list[Path], folder: Path) -> str:
    return listed([os.path.relpath(path, folder) for path in sorted(paths)], _LISTED)
