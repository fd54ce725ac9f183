"""A compiled pipeline as it is submitted: its name, version, tasks and parameters, and values for them.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import copy
import graphlib
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.common.base.errors import ParedownError
from components.common.base.near_names import nearest
from pipeline.kubeflow.parameters import DATA_FINGERPRINT, DATA_PATH, fingerprint_of

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KINDS = {
    "STRING": "a text",
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "LIST": "a JSON list",
    "STRUCT": "a JSON object",
}


_SECTIONS = frozenset({"pipelineInfo", "pipelineSpec", "deploymentSpec", "components"})


class PackageError(ParedownError):
    """A file that cannot be submitted, or values that its parameters cannot have."""


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
        text: The file's content.
        spec: KFP's `PipelineSpec`, in JSON values.
        documents: All documents of the file; the first one is `spec`.
    """

    text: str
    spec: Mapping[str, Any]
    documents: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The pipeline's."""
        return self.spec["pipelineInfo"]["name"]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Name → definition of each parameter of a run."""
        return self.spec["root"].get("inputDefinitions", {}).get("parameters", {})

    def version(self) -> str:
        """Name of this content's version: the same pipeline, the same name.

        Layout does not count, nor does the data's fingerprint, which is a matter of each run.
        """
        documents = copy.deepcopy(self.documents)
        parameters = documents[0]["root"].get("inputDefinitions", {}).get("parameters", {})
        parameters.get(DATA_FINGERPRINT, {}).pop("defaultValue", None)
        content = json.dumps(documents, sort_keys=True).encode()
        return f"{self.name}-{hashlib.blake2b(content, digest_size=6).hexdigest()}"

    def tasks(self) -> list[str]:
        """Names of the tasks, each after those that it waits for."""
        tasks = self.spec["root"]["dag"]["tasks"]
        earlier = {task: sorted(tasks[task].get("dependentTasks", [])) for task in sorted(tasks)}
        return list(graphlib.TopologicalSorter(earlier).static_order())


def is_compiled(path: Path) -> bool:
    """Whether a file is a compiled pipeline, be it a broken one, and no config."""
    try:
        text = path.read_text(encoding="utf-8")
        first = next(iter(yaml.load_all(text, _Loader)), None)
    except (OSError, UnicodeDecodeError):
        return False
    except yaml.YAMLError:
        return re.search(rf"^({'|'.join(_SECTIONS)}):", text, re.MULTILINE) is not None
    return isinstance(first, dict) and not _SECTIONS.isdisjoint(first)


def read(text: str) -> Package:
    """Reads a compiled pipeline.

    Raises:
        PackageError: Where it is none for Kubeflow Pipelines.
    """
    try:
        documents = tuple(yaml.load_all(text, _Loader))
    except yaml.YAMLError as error:
        raise PackageError(f"is no YAML: {' '.join(str(error).split())}") from None
    spec = documents[0] if documents else None
    if isinstance(spec, dict) and "pipelineSpec" in spec:
        raise PackageError(
            "is compiled for Vertex AI; compile it with --target kubeflow to submit it to Kubeflow Pipelines"
        )
    if not _is_complete(spec):
        raise PackageError("is no complete pipeline specification; write it anew with `paredown compile`")
    if not str(spec.get("schemaVersion", "")).startswith("2.1"):
        raise PackageError(
            f"has schema {spec.get('schemaVersion')}, and Kubeflow Pipelines takes 2.1; compile it with "
            "--target kubeflow"
        )
    return Package(text, spec, documents)


def _is_complete(spec: Any) -> bool:
    try:
        tasks = spec["root"]["dag"]["tasks"]
        needed = {task for one in tasks.values() for task in one.get("dependentTasks", [])}
        components = {one["componentRef"]["name"] for one in tasks.values()}
        return bool(
            spec["pipelineInfo"]["name"]
            and spec["deploymentSpec"]["executors"]
            and spec["schemaVersion"]
            and tasks
            and needed <= set(tasks)
            and components <= set(spec["components"])
        )
    except (KeyError, TypeError, AttributeError):
        return False


def arguments(package: Package, given: Sequence[str]) -> dict[str, Any]:
    """Values of the parameters that are given.

    Args:
        package: Whose parameters they are.
        given: `name=value` each; the value of a list or an object is JSON.

    Raises:
        PackageError: Where there is no such parameter, a value is of another type, or one is missing.
    """
    known = package.parameters
    values: dict[str, Any] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise PackageError(f"--param {text}: write name=value")
        if name not in known:
            raise PackageError(
                f"--param {text}: the pipeline has no parameter {name!r}{nearest(name, list(known))}; there are "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        if name in values:
            raise PackageError(f"--param {text}: {name} is given twice")
        kind = known[name].get("parameterType", "STRING")
        try:
            values[name] = _value(kind, value)
        except ValueError:
            raise PackageError(
                f"--param {text}: {value!r} is not {_KINDS.get(kind, kind)}, which {name} has to be"
            ) from None
    for name, definition in known.items():
        if name not in values and "defaultValue" not in definition and not definition.get("isOptional"):
            raise PackageError(f"the parameter {name} has no default; give --param {name}=…")
    return values


def _value(kind: str, text: str) -> Any:
    if kind == "NUMBER_INTEGER":
        return int(text)
    if kind == "NUMBER_DOUBLE":
        if not math.isfinite(float(text)):  # JSON has no such number
            raise ValueError(text)
        return float(text)
    if kind == "BOOLEAN":
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if kind in ("LIST", "STRUCT"):
        value = json.loads(text)
        if not isinstance(value, list if kind == "LIST" else dict):
            raise ValueError(text)
        return value
    return text


def defaults(package: Package) -> dict[str, Any]:
    """Default of each parameter that has one."""
    return {
        name: _whole(definition)
        for name, definition in package.parameters.items()
        if "defaultValue" in definition
    }


def _whole(definition: Mapping[str, Any]) -> Any:
    """Protocol buffers know numbers only as floating-point ones."""
    value = definition["defaultValue"]
    return int(value) if definition.get("parameterType") == "NUMBER_INTEGER" else value


@dataclass(frozen=True)
class Fingerprint:
    """The data's fingerprint for a run.

    Attributes:
        value: It; None where the pipeline has no such parameter.
        folder: Whose files it is of; None where those could not be looked at.
    """

    value: str | None
    folder: str | None = None


def data_fingerprint(
    package: Package, values: Mapping[str, Any], data: str | None, own: str | None = None
) -> Fingerprint:
    """The fingerprint of the data that a run will read, as they are now.

    Args:
        package: What is submitted.
        values: Parameters that are given.
        data: Folder here with the same files as data_path has; None where none is named.
        own: The config's data.path, which kubeflow.data_path is a copy of; None for a compiled file.

    Raises:
        PackageError: Where the folder lacks the files, or the parameter is given as well.
    """
    if DATA_FINGERPRINT not in package.parameters:
        if data is not None:
            raise PackageError(
                f"--data: the pipeline has no parameter {DATA_FINGERPRINT}; leave --data out"
            )
        return Fingerprint(None)
    if DATA_FINGERPRINT in values:
        if data is not None:
            raise PackageError(f"give --data or --param {DATA_FINGERPRINT}=…, and not both")
        return Fingerprint(values[DATA_FINGERPRINT])
    path = values.get(DATA_PATH)
    if path is None and own is None:
        path = defaults(package).get(DATA_PATH)
    folder = data or (path if path and Path(path).is_dir() else None if path else own)
    if folder is None:
        return Fingerprint(defaults(package).get(DATA_FINGERPRINT))
    splits = _splits(package)
    try:
        return Fingerprint(fingerprint_of(folder, splits), folder)
    except FileNotFoundError as error:
        raise PackageError(
            f"{'--data ' if data else ''}{folder}: {error}; name a folder with the files that {DATA_PATH} has"
        ) from None


def _splits(package: Package) -> dict[str, str]:
    """Split → pattern of its files, as the task that reads the data has it."""
    for task in package.spec["root"]["dag"]["tasks"].values():
        parameters = task.get("inputs", {}).get("parameters", {})
        if parameters.get(DATA_FINGERPRINT, {}).get("componentInputParameter") == DATA_FINGERPRINT:
            config = json.loads(parameters["input_config"]["runtimeValue"]["constant"])
            return {split["name"]: split["pattern"] for split in config["splits"]}
    raise PackageError(f"no task reads {DATA_FINGERPRINT}; write the file anew with `paredown compile`")
