"""Whether the files of artifacts are as the nodes left them that made them."""

from __future__ import annotations

from collections.abc import Iterable

from components.common.base import file_hashes
from components.common.base.file_hashes import CONTENT, ChangedFile, FileHashes
from pipeline.store.records import Artifact


def change(artifact: Artifact, hashes: FileHashes) -> str:
    """The difference between an artifact's files and their record; empty if there is none.

    An artifact without a record is not trusted: the run was killed before it was written, or an older version of
    Paredown made it.
    """
    recorded = file_hashes.from_property(artifact.properties.get(CONTENT))
    if recorded is None:
        return f"the content of {artifact.uri} was not recorded"
    try:
        found = hashes.of_folder(artifact.uri)
    except OSError as error:
        return f"{error.filename or artifact.uri} cannot be read: {error.strerror}"
    return file_hashes.difference(artifact.uri, recorded, found)


def refuse_changed(artifacts: Iterable[Artifact], hashes: FileHashes) -> None:
    """Checks artifacts before they are used.

    Raises:
        ChangedFile: If a file is not as its node left it.
    """
    for artifact in artifacts:
        changed = change(artifact, hashes)
        if changed:
            raise ChangedFile(
                f"{changed}. Run again: the node that made {artifact.uri} then makes it again."
            )
