"""Facets of Paredown's own, in the client library's terms.

open_lineage_facets.json has their JSON Schema; a change of it gets a new version.
https://openlineage.io/docs/spec/facets/custom-facets
"""

from __future__ import annotations

from typing import Any

import attr
from openlineage.client.facet_v2 import DatasetFacet, RunFacet

SCHEMA_ID = "urn:paredown:open-lineage-facets:2-0-0"


@attr.define
class PipelineRunFacet(RunFacet):
    """`paredown_run`: a run of a whole pipeline."""

    id: str
    status: str
    configPath: str | None = None
    config: str | None = None
    configHash: str | None = None
    environment: dict[str, Any] | None = None
    environmentHash: str | None = None
    dataHash: str | None = None
    gitCommit: str | None = None
    gitDirty: bool | None = None
    seed: int | None = None
    winner: str | None = None
    pushed: str | None = None
    pushedNow: bool | None = None
    _producer: str = attr.field(default="", kw_only=True)

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA_ID}#/$defs/PipelineRunFacet"


@attr.define
class ExecutionRunFacet(RunFacet):
    """`paredown_execution`: an execution of one node."""

    id: int
    node: str
    component: str
    state: str
    properties: dict[str, Any]
    technique: str | None = None
    parameters: dict[str, Any] | None = None
    hyperparameters: dict[str, Any] | None = None
    _producer: str = attr.field(default="", kw_only=True)

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA_ID}#/$defs/ExecutionRunFacet"


@attr.define
class ArtifactDatasetFacet(DatasetFacet):
    """`paredown_artifact`: an artifact of ML Metadata."""

    id: int
    type: str
    live: bool
    properties: dict[str, Any]
    files: dict[str, str] | None = None
    layers: dict[str, Any] | None = None
    _producer: str = attr.field(default="", kw_only=True)

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA_ID}#/$defs/ArtifactDatasetFacet"
