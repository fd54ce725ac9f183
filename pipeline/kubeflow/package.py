"""A compiled file as it is submitted: its pipeline, the version that it is, and values for its parameters.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from components.common.base.errors import ParedownError
from components.common.base.near_names import nearest
from pipeline.kubeflow.parameters import DATA_FINGERPRINT
from pipeline.kubeflow.spec import Parameter, Spec

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECTIONS = frozenset({"pipelineInfo", "pipelineSpec", "deploymentSpec", "components"})
_TYPES: dict[str, tuple[type, str]] = {
    "NUMBER_INTEGER": (int, "an integer"),
    "NUMBER_DOUBLE": (float, "a number"),
    "BOOLEAN": (bool, "true or false"),
    "LIST": (list, "a JSON list"),
    "STRUCT": (dict, "a JSON object"),
}


class PackageError(ParedownError):
    """A file that is not a compiled pipeline or cannot be submitted, or values that its parameters cannot have."""


@dataclass(frozen=True)
class Package:
    """A compiled file.

    Attributes:
        text: Its content.
        spec: The pipeline.
        documents: All YAML documents of the file. The first is the pipeline, a second one is for Kubernetes.
    """

    text: str
    spec: Spec
    documents: tuple[Any, ...]

    def version(self) -> str:
        """Name of this content's version: the same pipeline, the same name.

        Layout does not count. Neither does the data's fingerprint, which belongs to each run.
        """
        documents = copy.deepcopy(self.documents)
        parameters = documents[0]["root"].get("inputDefinitions", {}).get("parameters", {})
        parameters.get(DATA_FINGERPRINT, {}).pop("defaultValue", None)
        content = json.dumps(documents, sort_keys=True).encode()
        return f"{self.spec.name}-{hashlib.blake2b(content, digest_size=6).hexdigest()}"


def is_compiled(path: Path) -> bool:
    """Whether a file is a compiled pipeline, even a broken one, and not a config."""
    try:
        text = path.read_text(encoding="utf-8")
        first = next(iter(yaml.load_all(text, _Loader)), None)
    except (OSError, UnicodeDecodeError):
        return False
    except yaml.YAMLError:
        return re.search(rf"^({'|'.join(_SECTIONS)}):", text, re.MULTILINE) is not None
    return isinstance(first, dict) and not _SECTIONS.isdisjoint(first)


def read(text: str, vertex: bool = False) -> Package:
    """Reads a compiled file: YAML for Kubeflow Pipelines, or JSON for Vertex AI.

    Args:
        text: Its content.
        vertex: Whether a file for Vertex AI will do.

    Raises:
        PackageError: If it is not one.
    """
    try:
        documents = tuple(yaml.load_all(text, _Loader))  # JSON is YAML
    except yaml.YAMLError as error:
        raise PackageError(f"is neither YAML nor JSON: {' '.join(str(error).split())}") from None
    first = documents[0] if documents else None
    if not isinstance(first, dict):
        raise PackageError("is not a compiled pipeline; give the file that `paredown compile` wrote")
    if "pipelineSpec" in first and not vertex:
        raise PackageError(
            "is compiled for Vertex AI; compile it with --target kubeflow to submit it to Kubeflow Pipelines"
        )
    package = Package(text, _spec(first.get("pipelineSpec", first)), documents)
    if not vertex and not package.spec.schema_version.startswith("2.1"):
        raise PackageError(
            f"has schema {package.spec.schema_version}, but Kubeflow Pipelines takes 2.1; compile it with --target "
            "kubeflow"
        )
    return package


def _spec(values: object) -> Spec:
    try:
        return Spec.model_validate(values)
    except ValidationError as error:
        mistake = error.errors()[0]
        place = ".".join(map(str, mistake["loc"]))
        why = ": ".join(part for part in (place, mistake["msg"]) if part)
        raise PackageError(
            f"is not a complete pipeline specification ({why}); write it again with `paredown compile`"
        ) from None


def arguments(spec: Spec, given: Sequence[str]) -> dict[str, Any]:
    """Values of the parameters that are given.

    Args:
        spec: Whose parameters they are.
        given: `name=value` each; the value of a list or an object is JSON.

    Raises:
        PackageError: If there is no such parameter, a value has another type, or one is missing.
    """
    known = spec.parameters
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
        try:
            values[name] = _value(known[name], value)
        except ValueError:
            wanted = _TYPES[known[name].parameter_type][1]
            raise PackageError(f"--param {text}: {value!r} is not {wanted}, as {name} must be") from None
    for name, definition in known.items():
        if name not in values and definition.default_value is None and not definition.is_optional:
            raise PackageError(f"the parameter {name} has no default; give --param {name}=…")
    return values


def _value(parameter: Parameter, text: str) -> Any:
    if parameter.parameter_type not in _TYPES:
        return text
    wanted, _ = _TYPES[parameter.parameter_type]
    value: Any = json.loads(text.lower() if wanted is bool else text)
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted or value in (math.inf, -math.inf) or value != value:
        raise ValueError(text)
    return value


def defaults(spec: Spec) -> dict[str, Any]:
    """Default of each parameter that has one."""
    known = {name: definition.default() for name, definition in spec.parameters.items()}
    return {name: value for name, value in known.items() if value is not None}
