"""The files that a run reads, by split. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipeline.config.data_options import EVALUATED_SPLIT, TRAINED_SPLIT, Data
from pipeline.plan import spans
from pipeline.plan.spans import Span

# The input split of ExampleGen that a hash divides into `train` and `eval`.
HASHED_SPLIT = "all"

_MOST_LEVELS = 50
_LONGEST_NAME = 255  # bytes, on Linux


def split_files(folder: str | Path, pattern: str) -> list[Path]:
    """Files of a split, sorted: what `pattern` matches below `folder`, as ExampleGen does it.

    `*` stays within a folder, and matches hidden files too.

    Raises:
        ValueError: If the pattern is not one of files below the folder; the text continues the pattern's.
    """
    if os.path.isabs(pattern) or not Path(pattern).name:
        raise ValueError("is not a pattern below data.path, such as 'train*'")
    if "**" in pattern:
        # For ExampleGen's driver it is `*`, for Apache Beam any depth of folders.
        raise ValueError("has '**', which TFX does not match consistently; write '*' for each level")
    if "\\" in pattern:
        raise ValueError(
            "has '\\', which TFX reads as an escape; rename the files, or write '?' for the character"
        )
    parts = Path(pattern).parts
    if len(parts) > _MOST_LEVELS or max(len(os.fsencode(part)) for part in parts) > _LONGEST_NAME:
        raise ValueError(
            f"is not a pattern that files can match: it has more than {_MOST_LEVELS} levels, or a name of more than "
            f"{_LONGEST_NAME} bytes"
        )
    return sorted(path for path in Path(folder).glob(pattern) if os.path.isfile(path))


def unread_matches(folder: str | Path, pattern: str) -> tuple[list[Path], list[Path]]:
    """Matches of a pattern that are not files or folders.

    Returns:
        Broken links, which TFX would treat as files; and FIFOs, devices and sockets, which would be waited for; both
        sorted.
    """
    others = sorted(p for p in Path(folder).glob(pattern) if not os.path.isfile(p) and not os.path.isdir(p))
    links = [path for path in others if not os.path.exists(path)]
    return links, [path for path in others if path not in links]


def closed_folders(folder: str | Path, pattern: str) -> list[Path]:
    """Folders on the way to a pattern's files that may not be read, sorted; what is in them is not matched."""
    parts = Path(pattern).parts
    levels = [os.path.join(*parts[:depth]) for depth in range(1, len(parts))]
    return sorted(
        path
        for level in levels
        for path in Path(folder).glob(level)
        if path.is_dir() and not may_read(path)
    )


def may_read(path: str | Path) -> bool:
    """Whether this process may read a file, or list and enter a folder."""
    mode = os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK
    return os.access(path, mode, effective_ids=True)


def written_patterns(data: Data) -> dict[str, str]:
    """Input split → its pattern as in the config, with placeholders."""
    splits = data.splits
    if splits.pattern is not None:
        return {HASHED_SPLIT: splits.pattern}
    return {TRAINED_SPLIT: splits.train, EVALUATED_SPLIT: splits.eval}


def option_of(split: str) -> str:
    """The option below `data.splits` that has the pattern of an input split."""
    return "pattern" if split == HASHED_SPLIT else split


def chosen_span(data: Data, folder: str | Path | None = None) -> Span | None:
    """The span that is read; None if patterns have no placeholders.

    Args:
        data: The section.
        folder: Where the files are; data.path by default.

    Raises:
        SpanError: If none can be chosen.
    """
    return spans.choose(folder or data.path, written_patterns(data), data.range)


def patterns(data: Data, folder: str | Path | None = None) -> dict[str, str]:
    """Input split → the pattern of its files, of the span that is read.

    Raises:
        SpanError: If none can be chosen.
    """
    span = chosen_span(data, folder)
    written = written_patterns(data)
    return written if span is None else {split: span.fill(pattern) for split, pattern in written.items()}


def files(data: Data) -> dict[str, list[Path]]:
    """Input split → its files, sorted, with absolute paths."""
    folder = os.path.abspath(data.path)
    return {split: split_files(folder, pattern) for split, pattern in patterns(data).items()}


def trained_files(data: Data) -> list[Path]:
    """Files with the training examples; if a hash splits the data, they have the others as well."""
    found = files(data)
    return found[HASHED_SPLIT if HASHED_SPLIT in found else TRAINED_SPLIT]


def choice(data: Data) -> dict[str, Any]:
    """The data to read, as JSON values: span and version, None if there is none, and the patterns."""
    span = chosen_span(data)
    return {
        "span": span.number if span else None,
        "version": span.version if span else None,
        "patterns": patterns(data),
    }
