"""KFP's `ExecutorInput` and `ExecutorOutput` of a task, in JSON values: what TFX and KFP need changed in them.

KFP's launcher brings input artifacts from the object store into the file system of the task, and takes output
artifacts from there: `minio://bucket/key` is at `/minio/bucket/key`, and so are `s3://` and `gs://` (`/gcs`, where
Vertex AI mounts Cloud Storage).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from components.common.base.errors import ParedownError

STAGED = {"gs": "gcs", "s3": "s3", "minio": "minio"}
"""Scheme of an object store → folder that KFP stages it in."""

# Variable with the folder below which KFP's launcher stages files; not set in a container.
_STAGING_ROOT = "ARTIFACT_LOCAL_PATH"

Json = dict[str, Any]


class InvalidTask(ParedownError):
    """The input of a task cannot be right; the message says what to change."""


def read(text: str) -> Json:
    """Reads an `ExecutorInput`.

    Raises:
        InvalidTask: If it is not one.
    """
    try:
        given: Json = json.loads(text)
        os.fspath(given["outputs"]["outputFile"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidTask(
            f"--json_serialized_invocation_args is not an ExecutorInput ({error!r}); KFP's launcher writes it in place "
            "of {{$}}"
        ) from None
    return given


def fill_types(given: Json, inputs_spec: str) -> None:
    """Gives input artifacts the types that they are declared to have.

    The open-source backend passes them without a type, and TFX then fails
    (https://github.com/tensorflow/tfx/issues/7768).

    Args:
        given: An `ExecutorInput`, which is changed.
        inputs_spec: The task's `ComponentInputsSpec` in JSON; empty on Vertex AI, which passes types.
    """
    declared = json.loads(inputs_spec or "{}").get("artifacts", {})
    for key, found in given.get("inputs", {}).get("artifacts", {}).items():
        for artifact in found.get("artifacts", []):
            if key in declared and not any(artifact.get("type", {}).values()):
                artifact["type"] = declared[key]["artifactType"]


def parameters_of(given: Json) -> Json:
    """Parameters of an `ExecutorInput`, of schema 2.1 or 2.0, as Python values."""
    inputs = given.get("inputs", {})
    found = {key: plain(value) for key, value in inputs.get("parameters", {}).items()}
    found |= inputs.get("parameterValues", {})
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in found.items()
    }


def plain(value: Json) -> Any:
    """A value of schema 2.0, which writes integers as text: `{"intValue": "7"}`."""
    ((kind, content),) = value.items()
    return int(content) if kind == "intValue" else content


def write_parameter(given: Json, write: str) -> None:
    """Writes a parameter of the run into a node's JSON parameter.

    Args:
        given: An `ExecutorInput`, which is changed.
        write: `KEY=PARAMETER.KEY…`: which parameter, and where to.

    Raises:
        InvalidTask: If there is no such parameter or place.
    """
    key, _, place = write.partition("=")
    target, *way = place.split(".")
    values = parameters_of(given)
    try:
        whole = inner = json.loads(values[target])
        for part in way[:-1]:
            inner = inner[part]
        inner[way[-1]] = values[key]
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InvalidTask(f"--write {write}: the task has no such parameter or place ({error!r})") from None
    text = json.dumps(whole, sort_keys=True)
    for kind, value in (("parameterValues", text), ("parameters", {"stringValue": text})):
        section = given["inputs"].get(kind, {})
        if target in section:
            section[target] = value
        section.pop(key, None)


def stage(given: Json, schemes: set[str]) -> dict[str, str]:
    """Gives artifacts the paths at which KFP's launcher stages them.

    Args:
        given: An `ExecutorInput`, which is changed.
        schemes: Schemes of the URIs to map.

    Returns:
        Path → URI of each output artifact.

    Raises:
        InvalidTask: If an artifact is neither in an object store that KFP stages nor on a path.
    """
    staged = {}
    for side in ("inputs", "outputs"):
        for artifact in artifacts_of(given.get(side, {})):
            uri = artifact.get("uri", "")
            scheme, separator, _ = uri.partition("://")
            if scheme in schemes:
                artifact["uri"] = staged_path(uri)
                if side == "outputs":
                    staged[artifact["uri"]] = uri
            elif separator and scheme not in STAGED:
                raise InvalidTask(
                    f"KFP does not stage the artifact {uri}; set the pipeline root to gs://, s3:// or minio://"
                )
    outputs = given.get("outputs", {})
    if "gs" in schemes and str(outputs.get("outputFile", "")).startswith("gs://"):  # on Vertex AI
        outputs["outputFile"] = staged_path(outputs["outputFile"])
    return staged


def staged_path(uri: str) -> str | None:
    """Path where KFP's launcher stages an artifact; None if it does not."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in STAGED:
        return None
    return f"{os.environ.get(_STAGING_ROOT, '')}/{STAGED[scheme]}/{rest}"


def unstage(output: Json, staged: dict[str, str]) -> None:
    """Puts URIs in place of paths into an `ExecutorOutput`.

    Args:
        output: What the executor says of its artifacts, which is changed.
        staged: As `stage` returns it.
    """
    for artifact in artifacts_of(output):
        artifact["uri"] = staged.get(artifact.get("uri", ""), artifact.get("uri", ""))


def artifacts_of(side: Json) -> Iterator[Json]:
    """The artifacts of an input's or output's side."""
    for found in side.get("artifacts", {}).values():
        yield from found.get("artifacts", [])
