"""The content of a task's artifacts: recorded when they are made, compared before they are read."""

from __future__ import annotations

import logging

from components.common.base import file_hashes
from components.common.base.file_hashes import CONTENT
from pipeline.kubeflow.executor_input import Json, artifacts_of

_ADVICE = "run the task that made it again, without the cache"

_log = logging.getLogger("paredown.task")


def refuse_changed(given: Json) -> None:
    """Compares input artifacts with the record of the tasks that made them.

    Args:
        given: An `ExecutorInput` whose artifacts are staged. An artifact that is read from an object store has no
            record and passes with a warning. Selector and Pusher compare the model with what was judged in any case.

    Raises:
        ChangedFile: If a file is not as it was made; the text names it.
    """
    for artifact in artifacts_of(given.get("inputs", {})):
        uri = artifact.get("uri", "")
        recorded = file_hashes.from_property(artifact.get("metadata", {}).get(CONTENT))
        if recorded is None:
            _log.warning("no content was recorded for %s", uri)
        elif "://" not in uri:
            file_hashes.refuse_change(uri, recorded, file_hashes.digests(uri), _ADVICE)


def record(output: Json) -> None:
    """Writes the SHA-256 of each output artifact's files into its metadata.

    Args:
        output: An `ExecutorOutput` with the paths where artifacts are staged, which is changed.
    """
    for artifact in artifacts_of(output):
        uri = artifact.get("uri", "")
        if "://" not in uri:
            found = file_hashes.as_property(file_hashes.digests(uri))
            artifact.setdefault("metadata", {})[CONTENT] = found
