"""Options of a compiled pipeline: resources of its tasks, and where they find data and models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from components.common.base.options import Options

Target = Literal["kubeflow", "vertex"]

_BYTES = {
    "": 1,
    **{letter: 1000**power for power, letter in enumerate("kMGTP", 1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTP", 1)},
}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")
_LABEL_NAME = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
# Set before TensorFlow is imported, whatever a config says.
_RESERVED = ("TF_USE_LEGACY_KERAS",)


def cores(text: str) -> float:
    """CPU cores of a Kubernetes quantity: `4`, `0.5` or `500m`."""
    number, unit = _QUANTITY.fullmatch(text).groups()  # type: ignore[union-attr]
    return float(number) / (1000 if unit == "m" else 1)


def gigabytes(text: str) -> float:
    """Gigabytes, of 10⁹ bytes, of a Kubernetes quantity: `16G`, `1.5Gi` or `512M`."""
    number, unit = _QUANTITY.fullmatch(text).groups()  # type: ignore[union-attr]
    return float(number) * _BYTES[unit] / 1e9


def _number_as_text(value: object) -> object:
    """`cpu: 4` means `cpu: "4"`."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _check_cpu(value: str) -> str:
    match = _QUANTITY.fullmatch(value)
    if not match or match[2] not in ("", "m") or not float(match[1]):
        raise ValueError(f"{value!r} is not a number of CPU cores; write e.g. 4, 0.5 or 500m")
    return value


def _check_memory(value: str) -> str:
    match = _QUANTITY.fullmatch(value)
    if not match or match[2] not in _BYTES or not float(match[1]):
        raise ValueError(f"{value!r} is not an amount of memory; write e.g. 16G, 1.5Gi or 512M")
    if gigabytes(value) < 0.001:
        raise ValueError(f"{value!r} is less than a megabyte; write the unit too, e.g. {value}G")
    return value


def _check_labels(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if not _LABEL_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a name of a Kubernetes label; write e.g. cloud.google.com/gke-nodepool"
            )
    return value


def _check_environment(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a name of an environment variable; use letters, digits and '_'"
            )
        if name in _RESERVED:
            raise ValueError(f"{name} is set by Paredown, because TFMOT needs it; remove it")
    return value


def _check_claim(value: str) -> str:
    if not _CLAIM.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a name of a PersistentVolumeClaim; use lower-case letters, digits, '-' and '.'"
        )
    return value


def _check_mount(value: str) -> str:
    if not value.startswith("/") or value == "/":
        raise ValueError(
            f"{value!r} is not a folder to mount at; write an absolute path, e.g. /mnt/paredown"
        )
    return value.rstrip("/")


def _check_place(value: str) -> str:
    scheme, separator, _ = value.partition("://")
    if separator and scheme not in ("gs", "s3", "minio"):
        raise ValueError(
            f"{value!r} has the scheme {scheme}://, which is not supported; write gs://… or an absolute path"
        )
    if not separator and not value.startswith("/"):
        raise ValueError(
            f"{value!r} is relative, but tasks run in another working directory; write gs://… or an absolute path"
        )
    return value.rstrip("/")


Place = Annotated[str, AfterValidator(_check_place)]


class Accelerator(Options):
    """Accelerators of a node's task."""

    type: str = Field(
        min_length=1,
        description="Name of the resource on Kubeflow, e.g. nvidia.com/gpu; kind of accelerator on Vertex AI, e.g. "
        "NVIDIA_TESLA_T4.",
    )
    count: int = Field(default=1, ge=1, description="Number of accelerators.")


class Volume(Options):
    """A volume that every task mounts."""

    claim: Annotated[str, AfterValidator(_check_claim)] = Field(
        description="Name of the PersistentVolumeClaim. It must be ReadWriteMany for branches to run in parallel."
    )
    mount: Annotated[str, AfterValidator(_check_mount)] = Field(
        description="Folder to mount it at, an absolute path."
    )


class NodeOptions(Options):
    """Resources of a node's task on the cluster; the cluster chooses those that are not set."""

    cpu: (
        Annotated[
            str,
            BeforeValidator(_number_as_text, json_schema_input_type=float | str),
            AfterValidator(_check_cpu),
        ]
        | None
    ) = Field(default=None, description="CPU cores, as request and limit, e.g. 4, 0.5 or 500m.")
    memory: Annotated[str, AfterValidator(_check_memory)] | None = Field(
        default=None, description="Memory, as request and limit, e.g. 16G or 1.5Gi."
    )
    accelerator: Accelerator | None = Field(default=None, description="Accelerators, such as GPUs.")
    node_selector: Annotated[dict[str, str], AfterValidator(_check_labels)] | None = Field(
        default=None, description="Labels that the machine must have. Not on Vertex AI."
    )
    retries: int | None = Field(
        default=None,
        ge=0,
        le=10,
        description="How often to run a failed task again. Default 0.",
    )
    cache: bool | None = Field(
        default=None,
        description="Whether the task may reuse the outputs of an earlier one. Default true; false for '*-measure', "
        "whose machine is not known.",
    )
    env: Annotated[dict[str, str], AfterValidator(_check_environment)] | None = Field(
        default=None, description="Environment variables. Those of several matching entries are merged."
    )

    def updated(self, other: NodeOptions) -> NodeOptions:
        """These options, with those that `other` writes replaced."""
        written = {name: getattr(other, name) for name in other.model_fields_set}
        if self.env and other.env:
            written["env"] = {**self.env, **other.env}
        return self.model_copy(update=written)


class KubeflowOptions(Options):
    """How the pipeline runs on a cluster. `paredown run` ignores this section."""

    data_path: Place | None = Field(
        default=None,
        description="Where tasks find the files of data.path: gs://…, or an absolute path in the image or "
        "on a volume. Default of the run's parameter data_path.",
    )
    model_path: Place | None = Field(
        default=None,
        description="Where tasks find the model of model.import: gs://…, or an absolute path in the image or on "
        "a volume. Default of the run's parameter model_path.",
    )
    push_directory: Place | None = Field(
        default=None,
        description="Where to push the winner instead of push.directory: gs://…, or a path on a volume. Default of "
        "the run's parameter push_directory.",
    )
    volumes: list[Volume] = Field(default=[], description="Volumes that all tasks mount. Not on Vertex AI.")
    defaults: NodeOptions = Field(
        default=NodeOptions.model_construct(), description="Options of all nodes."
    )
    nodes: dict[str, NodeOptions] = Field(
        default={},
        description="Options of some nodes, by node id (`paredown plan` lists them), technique, or pattern such as "
        "'*-measure'. Later entries win.",
    )

    def of_node(self, node_id: str, technique: str | None) -> NodeOptions:
        """Options of a node.

        Args:
            node_id: Its id in the plan.
            technique: That of its step; None for a node that is not a step.
        """
        options = self.defaults
        for key, entry in self.nodes.items():
            if matches(key, node_id, technique):
                options = options.updated(entry)
        return options


def matches(key: str, node_id: str, technique: str | None) -> bool:
    """Whether a key of `kubeflow.nodes` matches a node."""
    if "*" in key:
        return re.fullmatch(".*".join(map(re.escape, key.split("*"))), node_id) is not None
    return key in (node_id, technique)


def unmatched(options: KubeflowOptions, nodes: Mapping[str, str | None]) -> list[str]:
    """Keys of `kubeflow.nodes` that match no node.

    Args:
        options: The section.
        nodes: Id of each node of the plan → its technique.
    """
    return [
        key
        for key in options.nodes
        if not any(matches(key, node_id, technique) for node_id, technique in nodes.items())
    ]
