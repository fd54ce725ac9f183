"""How training is distributed, as a config writes it. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from components.common.base.options import Options

Kind = Literal["none", "mirrored", "multi_worker", "parameter_server", "tpu"]

TF_CONFIG = "TF_CONFIG"
# Option → the kinds that it has a meaning for.
_BELONGS_TO = {
    "devices": ("mirrored",),
    "workers": ("multi_worker", "parameter_server"),
    "servers": ("parameter_server",),
    "name": ("tpu",),
}


class Distribution(Options):
    """Among what a training divides each batch: devices, processes or machines.

    https://www.tensorflow.org/guide/distributed_training
    """

    kind: Kind = Field(
        description="none: one device; mirrored: all GPUs of the machine; multi_worker: several processes "
        "or machines, in step; parameter_server: several, each at its own pace; tpu: the cores of a TPU.",
    )
    devices: int | None = Field(
        default=None,
        ge=2,
        le=64,
        description="mirrored: parts of the CPU that act as devices, to try it without GPUs. Default: all GPUs.",
    )
    workers: int = Field(
        default=2,
        ge=1,
        le=64,
        description="multi_worker, parameter_server: number of processes that train, started on this machine unless "
        "TF_CONFIG describes a cluster.",
    )
    servers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="parameter_server: number of processes that hold the variables, started like `workers`.",
    )
    name: str = Field(
        default="",
        description="tpu: name or grpc:// address of the TPU. Default: the machine's own TPU.",
    )

    @model_validator(mode="after")
    def _options_belong_to_kind(self) -> Distribution:
        for option, kinds in _BELONGS_TO.items():
            # JSON holds them all, with defaults if they are not set.
            written = getattr(self, option) != type(self).model_fields[option].default
            if written and self.kind not in kinds:
                raise ValueError(
                    f"{option} has no meaning for {self.kind}; leave it out, or write kind: {' or '.join(kinds)}"
                )
        if self.kind == "multi_worker" and self.workers < 2:
            raise ValueError("a single worker distributes nothing; write workers: 2, or kind: none")
        return self

    def processes(self) -> bool:
        """Whether several processes train together."""
        return self.kind in ("multi_worker", "parameter_server")

    def alone(self) -> bool:
        """Whether nothing is distributed."""
        return self.kind == "none"

    def parts(self) -> int | None:
        """Replicas that each batch is divided among; None if only the machine that trains knows."""
        if self.kind == "mirrored":
            return self.devices
        return {"none": 1, "multi_worker": self.workers, "parameter_server": 1}.get(self.kind)


def _from_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


class _NameOrSection:
    """The JSON Schema of `Distributed`; it is made on demand."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(get_args(Kind))}, handler(schema)]}


# `mirrored` is short for {kind: mirrored}.
Distributed = Annotated[Distribution, BeforeValidator(_from_name), _NameOrSection()]

# Validating would build the validator, which a command that only reads options does not need.
ALONE = Distribution.model_construct(kind="none")


def cluster_task(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """The task of a cluster that TF_CONFIG says this process to be: its type and index.

    Returns:
        None if there is no TF_CONFIG, or it names no cluster.
    """
    config = json.loads(environment.get(TF_CONFIG) or "{}")
    if not config.get("cluster"):
        return None
    task = config.get("task", {})
    return str(task.get("type", "worker")), int(task.get("index", 0))


def role(environment: Mapping[str, str]) -> str:
    """The part of this process in the cluster of TF_CONFIG, such as `worker 1`; empty if there is none."""
    task = cluster_task(environment)
    return f"{task[0]} {task[1]}" if task else ""


def is_chief(environment: Mapping[str, str]) -> bool:
    """Whether this process writes what is trained: alone, or the first of its cluster."""
    task = cluster_task(environment)
    if task is None:
        return True
    cluster = json.loads(environment[TF_CONFIG])["cluster"]
    # https://www.tensorflow.org/tutorials/distribute/multi_worker_with_keras: worker 0 if none is chief.
    first = next(name for name in ("chief", "master", "worker") if name in cluster)
    return task == (first, 0)
