"""Folders of images: files that would be ignored or misread are refused. No image is decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.common.base.near_names import nearest
from components.common.base.texts import listed
from components.image_example_gen.params import IMAGE_FEATURE
from pipeline.config.data_options import TRAINED_SPLIT, Data
from pipeline.config.problem import Location, Problem
from pipeline.plan import data_files
from pipeline.plan.data_files import HASHED_SPLIT
from pipeline.plan.image_nodes import class_of

# TFDV infers domains of at most this many values: tfdv.infer_schema(max_string_domain_size=100).
_MOST_INFERRED = 100
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def check(data: Data, patterns: Mapping[str, str], found: Mapping[str, list[Path]]) -> Iterator[Problem]:
    """Problems of the folders of images that can be found without decoding.

    Args:
        data: The section.
        patterns: Input split → its pattern.
        found: Input split → the files that it matches, at least one; splits whose pattern is wrong are left out.
    """
    folder = Path(data.path)
    used = {path for paths in found.values() for path in paths}
    seen: set[Path] = set()
    for split, paths in found.items():
        at = _at(split)
        pattern = patterns[split]
        if len(Path(pattern).parts) < 2:
            example = "*/*" if split == HASHED_SPLIT else f"{split}/*/*"
            yield Problem(
                f"{pattern!r} has no class folders, and images get their class from them; write e.g. '{example}'",
                at,
            )
            return
        strangers = [path for path in paths if path.stat().st_size and not _is_image(path)]
        if strangers:
            yield Problem(
                f"{pattern!r} matches files that are not PNG or JPEG images: {_names(strangers, folder)}; remove or "
                f"convert them, or write a pattern that excludes them, such as '{Path(pattern).parent}/*.png'",
                at,
            )
        for message in _Unread(folder, pattern, used, seen).messages():
            yield Problem(message, at)
    yield from _check_classes(
        data, {split: {class_of(path) for path in paths} for split, paths in found.items()}
    )
    if data.splits.hash_by not in (None, IMAGE_FEATURE):
        yield Problem(
            f"{data.splits.hash_by!r} is not a feature that distinguishes images: they have {IMAGE_FEATURE!r} and the "
            f"class, {data.label!r}, which would put all of its images into one split; remove hash_by",
            ("data", "splits", "hash_by"),
        )


@dataclass
class _Unread:
    """Images that nothing would read, and class folders without any, as one pattern sees them.

    Attributes:
        used: Files that some split reads.
        seen: Class folders that an earlier split's pattern matched; two splits may share them.
    """

    folder: Path
    pattern: str
    used: set[Path]
    seen: set[Path]
    beside: list[Path] = field(default_factory=list)
    unmatched: list[Path] = field(default_factory=list)
    nested: list[Path] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)

    def messages(self) -> Iterator[str]:
        for entry in sorted(self.folder.glob(str(Path(self.pattern).parent))):
            if entry in self.seen:
                continue
            self.seen.add(entry)
            if entry.is_dir():
                self._look_into(entry)
            elif _is_image(entry):
                self.beside.append(entry)
        if self.beside:
            yield (
                f"images are beside the class folders, where they have no class: {_names(self.beside, self.folder)}; "
                "move each into the folder of its class"
            )
        if self.unmatched:
            yield (
                f"images in class folders match no pattern: {_names(self.unmatched, self.folder)}; widen the pattern "
                f"{self.pattern!r}, or move them away"
            )
        if self.nested:
            yield (
                f"class folders contain folders, whose files are not read: {_names(self.nested, self.folder)}; put "
                "the images into the class folder itself, or write a pattern with one more level"
            )
        if self.empty:
            yield f"class folders without an image: {_names(self.empty, self.folder)}; add images, or remove the folder"

    def _look_into(self, folder: Path) -> None:
        paths = [Path(item) for item in os.scandir(folder)]
        nested = [path for path in paths if path not in self.used and path.is_dir()]
        unmatched = [path for path in paths if path not in self.used and _is_image(path)]
        if not nested and not unmatched and not self.used.intersection(paths):
            self.empty.append(folder)
        self.nested += nested
        self.unmatched += unmatched


def _check_classes(data: Data, by_split: Mapping[str, set[str]]) -> Iterator[Problem]:
    """Problems of the classes.

    Args:
        data: The section.
        by_split: Input split → its classes.
    """
    hidden = sorted({name for names in by_split.values() for name in names if name.startswith(".")})
    if hidden:
        yield Problem(
            f"hidden folders would be classes: {', '.join(hidden)}; remove them, or write class folders as '[!.]*' in "
            "the patterns",
            ("data", "splits"),
        )
    splits = list(by_split)
    for split, other in zip(splits, splits[1:] + splits[:1], strict=True):
        only = sorted(by_split[split] - by_split[other])
        if only:
            why = "has no images to learn it" if other == TRAINED_SPLIT else "would not measure it"
            yield Problem(
                f"only the {split} split has images of {listed(only)}: the {other} split {why}; add some, or remove "
                "the folder",
                _at(split),
            )
    trained = by_split.get(TRAINED_SPLIT) or by_split.get(HASHED_SPLIT) or set()
    if data.classes is not None:
        unknown = sorted(set().union(*by_split.values()) - set(data.class_names()))
        unused = [name for name in data.class_names() if trained and name not in trained]
        if unknown:
            yield Problem(
                f"does not list {listed(unknown)}, but there are folders of that name; add the missing classes",
                ("data", "classes"),
            )
        elif unused:  # with both, one is likely to be a misspelling of the other
            yield Problem(
                f"lists {listed(unused)}, but there is no folder of that name to train on; add images, or remove it",
                ("data", "classes"),
            )
        return
    if len(trained) > _MOST_INFERRED:
        yield Problem(
            f"is missing: the train split has {len(trained)} classes, and schemas list at most {_MOST_INFERRED}; "
            "write classes: [...] with all of them, in the order of the model's outputs",
            ("data", "classes"),
        )
    weights = data.named_class_weights()
    if isinstance(weights, dict) and trained:
        for name in sorted(set(weights) - trained):
            yield Problem(
                f"{name!r} is not a class of the train split{nearest(name, trained) or ''}; it has "
                f"{listed(sorted(trained))}",
                ("data", "class_weights"),
            )


def _at(split: str) -> Location:
    return ("data", "splits", data_files.option_of(split))


def _is_image(path: Path) -> bool:
    if not path.is_file() or not data_files.may_read(path):  # for example a broken link
        return False
    with path.open("rb") as file:
        return file.read(8).startswith(_SIGNATURES)


def _names(paths: list[Path], folder: Path) -> str:
    return listed([os.path.relpath(path, folder) for path in sorted(paths)])
