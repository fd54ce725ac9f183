"""Lineage as OpenLineage run events, for catalogues that gather lineage from many tools.

https://openlineage.io/docs/spec/object-model
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from components.common.base.installed import version_of
from pipeline.lineage import facts
from pipeline.lineage.formats import artifact_label
from pipeline.lineage.open_lineage_client import dataset_name, events, facets, serde
from pipeline.lineage.open_lineage_facets import ArtifactDatasetFacet, ExecutionRunFacet, PipelineRunFacet
from pipeline.store.state import State

if TYPE_CHECKING:
    from pipeline.lineage.graph import Graph
    from pipeline.store.records import Artifact, Execution, Run

# Namespace of jobs; OpenLineage has one for each scheduler.
NAMESPACE = "paredown"

# State → kind of the event that ends what START began.
_ENDS = {
    State.PUSHED: "COMPLETE",
    State.NONE_PASSED: "COMPLETE",
    State.JUDGED: "COMPLETE",
    State.RAN: "COMPLETE",
    State.CACHED: "COMPLETE",
    State.FAILED: "FAIL",
    State.INTERRUPTED: "ABORT",
}


def write_events(
    graph: Graph,
    store: str,
    runs: Sequence[Run] = (),
    documents: Mapping[str, Mapping[str, Any]] | None = None,
    namespace: str = NAMESPACE,
) -> list[str]:
    """Run events of a graph, in the order of time: a START for each execution, and its end.

    Every execution is a run of the job `<pipeline>.<node>`; its parent is a run of the job `<pipeline>`,
    which has its own events if the run is known. Artifacts are datasets, named by their folders (a
    pushed model by where it was pushed to), and so are the files that examples were read from. The limits
    of the gate are assertions on the candidate. What OpenLineage has no facet for is in
    `paredown_run`, `paredown_execution` and `paredown_artifact`.

    Ids are UUIDs made from the store and the ids in it (RFC 4122, version 5): the same graph gives the
    same events.

    Args:
        graph: Upstream or downstream of something.
        store: URL of the store. Ids are made from it; it is not written.
        runs: That the graph's executions belong to.
        documents: SHA-256 → config, environment or data document of those runs.
        namespace: Namespace of the jobs.

    Returns:
        A JSON text in one line for each event: joined by line breaks, newline-delimited JSON.
    """
    writer = _Writer(graph, store, runs, documents or {}, namespace)
    found = [(*key, event) for run in runs for key, event in writer.run_events(run)]
    for _, execution in sorted(graph.executions.items()):
        found += [(*key, event) for key, event in writer.execution_events(execution)]
    found.sort(key=lambda entry: entry[:-1])
    return [serde.Serde.to_json(entry[-1], allow_nan=False, ensure_ascii=False) for entry in found]


class _Writer:
    """Makes events of one store."""

    def __init__(
        self,
        graph: Graph,
        store: str,
        runs: Sequence[Run],
        documents: Mapping[str, Mapping[str, Any]],
        namespace: str,
    ):
        self._graph = graph
        self._store = store
        self._runs = runs
        self._documents = documents
        self._namespace = namespace
        self._facets: dict[int, dict[str, Any]] = {}
        self._producer = f"urn:paredown:{version_of('paredown')}"

    def run_events(self, run: Run) -> list[tuple[tuple[Any, ...], Any]]:
        """Events of a whole run, with what they are sorted by."""
        job = events.Job(self._namespace, run.pipeline, facets={"jobType": self._job_type("PIPELINE")})
        found = {"paredown_run": self._run_facet(run), **self._engine(run)}
        end = _ENDS.get(run.status)
        ended = dict(found)
        if end == "FAIL":
            ended["errorMessage"] = facets.error_message_run.ErrorMessageRunFacet(
                self._failure(run), "Python", producer=self._producer
            )
        number = self._uuid(f"run/{run.id}")
        entries = [
            ((run.started, 0, number), self._event("START", run.started, events.Run(number, found), job))
        ]
        if end is not None and run.finished is not None:
            event = self._event(end, run.finished, events.Run(number, ended), job)
            entries.append(((run.finished, 3, number), event))
        return entries

    def execution_events(self, execution: Execution) -> list[tuple[tuple[Any, ...], Any]]:
        """Events of one execution, with what they are sorted by."""
        name = f"{execution.pipeline}.{execution.node or execution.type}".lstrip(".")
        job_facets: dict[str, Any] = {"jobType": self._job_type("NODE")}
        options = facts.step_options(execution)
        if options is not None and options.__doc__:
            job_facets["documentation"] = facets.documentation_job.DocumentationJobFacet(
                options.__doc__.splitlines()[0], producer=self._producer
            )
        job = events.Job(self._namespace, name, facets=job_facets)
        run = facts.run_of(execution, self._runs)
        found = {
            "paredown_execution": self._execution_facet(execution),
            **self._parent(execution),
            **(self._engine(run) if run else {}),
        }
        end = _ENDS.get(execution.state)
        ended = dict(found)
        if end == "FAIL":
            message = f"node {execution.node} failed; ML Metadata keeps no message"
            if run is not None and run.failed_node == execution.node and run.reason:
                message = run.reason
            ended["errorMessage"] = facets.error_message_run.ErrorMessageRunFacet(
                message, "Python", producer=self._producer
            )
        number = self._uuid(f"execution/{execution.id}")
        inputs = self._inputs(execution)
        begun = self._event("START", execution.started, events.Run(number, found), job, inputs)
        entries = [((execution.started, 1, number), begun)]
        if end is not None:
            moment = execution.finished or execution.started
            outputs = self._outputs(execution) if end == "COMPLETE" else []
            event = self._event(end, moment, events.Run(number, ended), job, inputs, outputs)
            entries.append(((moment, 2, number), event))
        return entries

    def _event(
        self,
        kind: str,
        moment: datetime,
        run: Any,
        job: Any,
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
    ) -> Any:
        return events.RunEvent(
            eventType=events.RunState[kind],
            eventTime=moment.astimezone(timezone.utc).isoformat(timespec="milliseconds"),
            run=run,
            job=job,
            inputs=list(inputs),
            outputs=list(outputs),
            producer=self._producer,
        )

    def _uuid(self, name: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._store}#{name}"))

    def _parent(self, execution: Execution) -> dict[str, Any]:
        if not execution.runs:
            return {}
        run = facets.parent_run.Run(self._uuid(f"run/{execution.runs[0]}"))
        job = facets.parent_run.Job(self._namespace, execution.pipeline)
        return {"parent": facets.parent_run.ParentRunFacet(run, job, producer=self._producer)}

    def _job_type(self, kind: str) -> Any:
        return facets.job_type_job.JobTypeJobFacet("BATCH", "PAREDOWN", kind, producer=self._producer)

    def _engine(self, run: Run) -> dict[str, Any]:
        environment = self._documents.get(run.environment_hash) or {}
        version = environment.get("packages", {}).get("tfx")
        if not version:
            return {}
        facet = facets.processing_engine_run.ProcessingEngineRunFacet(
            version, "TFX", run.version or None, producer=self._producer
        )
        return {"processing_engine": facet}

    def _failure(self, run: Run) -> str:
        where = f"node {run.failed_node} failed" if run.failed_node else "the run failed"
        return f"{where}: {run.reason}" if run.reason else where

    def _run_facet(self, run: Run) -> Any:
        return PipelineRunFacet(
            id=run.id,
            status=run.status.value,
            configPath=run.config_path or None,
            config=_canonical(self._documents.get(run.config_hash)),
            configHash=run.config_hash or None,
            environment=facts.plain(self._documents.get(run.environment_hash)) or None,
            environmentHash=run.environment_hash or None,
            dataHash=run.data_hash or None,
            gitCommit=run.git_commit or None,
            gitDirty=run.git_dirty if run.git_commit else None,
            seed=run.seed,
            winner=run.winner,
            pushed=run.pushed,
            pushedNow=run.pushed_now,
            producer=self._producer,
        )

    def _execution_facet(self, execution: Execution) -> Any:
        options = facts.step_options(execution)
        return ExecutionRunFacet(
            id=execution.id,
            node=execution.node,
            component=execution.type,
            state=execution.state.value,
            properties=facts.plain(dict(sorted(execution.properties.items()))),
            technique=options.technique if options else None,
            parameters=facts.plain(facts.parameters(execution)) or None,
            hyperparameters=facts.plain(facts.hparams(execution)) or None,
            producer=self._producer,
        )

    def _inputs(self, execution: Execution) -> list[Any]:
        found = [
            events.InputDataset(
                *self._name(artifact),
                facets=self._dataset_facets(artifact),
                inputFacets=self._assertions(execution) if key == "model" else {},
            )
            for key, artifact in _by_key(self._graph.inputs(execution.id))
        ]
        return [*found, *self._imported(execution)] or self._read_files(execution)

    def _imported(self, execution: Execution) -> list[Any]:
        """The model that an execution imported or began with, which comes before the first artifact, as data do."""
        if execution.type == "ModelImporter":
            made = self._graph.outputs(execution.id).get("model", [])
            sources = [facts.imported(model) for model in made]
            return [self._file(source.path, source.sha256) for source in sources if source is not None]
        trunk = facts.pretrained(execution)
        if not trunk.get("file"):
            return []
        run = facts.run_of(execution, self._runs)
        file = os.path.normpath(os.path.join(run.directory if run else "", trunk["file"]))
        # Relative if the run did not record where it was made.
        name = dataset_name(file) if os.path.isabs(file) else ("file", trunk["file"])
        return [self._dataset(name, trunk["sha256"])]

    def _outputs(self, execution: Execution) -> list[Any]:
        return [
            events.OutputDataset(
                *self._name(artifact),
                facets=self._dataset_facets(artifact),
                outputFacets=self._statistics(artifact),
            )
            for _, artifact in _by_key(self._graph.outputs(execution.id))
        ]

    def _name(self, artifact: Artifact) -> tuple[str, str]:
        return dataset_name(str(artifact.properties.get("pushed_destination") or artifact.uri))

    def _dataset_facets(self, artifact: Artifact) -> dict[str, Any]:
        """Facets of an artifact, which many executions may have read."""
        if artifact.id not in self._facets:
            self._facets[artifact.id] = {**self._told(artifact), **self._schema(artifact)}
        return self._facets[artifact.id]

    def _told(self, artifact: Artifact) -> dict[str, Any]:
        files = facts.files(artifact)
        version = next(iter(files.values())) if len(files) == 1 else str(artifact.id)
        description = ", ".join(artifact_label(artifact))
        return {
            "documentation": facets.documentation_dataset.DocumentationDatasetFacet(
                description, producer=self._producer
            ),
            "version": facets.dataset_version_dataset.DatasetVersionDatasetFacet(
                version, producer=self._producer
            ),
            "paredown_artifact": ArtifactDatasetFacet(
                id=artifact.id,
                type=artifact.type,
                live=artifact.live,
                properties=facts.own_properties(artifact),
                files=files or None,
                layers=facts.plain(facts.layers(artifact)) or None,
                producer=self._producer,
            ),
        }

    def _schema(self, artifact: Artifact) -> dict[str, Any]:
        """Features: of a schema itself, and of examples that are read by one."""
        schemas = [artifact] if artifact.type == "Schema" else []
        if artifact.type == "Examples":
            schemas = [
                schema
                for consumer in self._graph.consumers(artifact.id)
                for schema in self._graph.inputs(consumer.id).get("schema", [])
            ][:1]
        fields = [
            facets.schema_dataset.SchemaDatasetFacetFields(name, kind)
            for schema in schemas
            for name, kind in facts.features(schema)
        ]
        return (
            {"schema": facets.schema_dataset.SchemaDatasetFacet(fields, producer=self._producer)}
            if fields
            else {}
        )

    def _statistics(self, artifact: Artifact) -> dict[str, Any]:
        counts = facts.example_counts(self._graph, artifact) if artifact.type == "Examples" else {}
        if not counts:
            return {}
        facet = facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=sum(counts.values()), producer=self._producer
        )
        return {"outputStatistics": facet}

    def _assertions(self, execution: Execution) -> dict[str, Any]:
        """The gate's limits, if an execution judged a candidate."""
        found = [
            facets.data_quality_assertions_dataset.Assertion(
                assertion=judgement.bound,
                success=judgement.met,
                name=judgement.figure,
                description=judgement.reason or None,
                expected=None if judgement.limit is None else str(judgement.limit),
                actual=None if judgement.value is None else str(judgement.value),
            )
            for evaluation in self._graph.outputs(execution.id).get("evaluation", [])
            for judgement in facts.verdict(evaluation).judgements
        ]
        if not found:
            return {}
        facet = facets.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            found, producer=self._producer
        )
        return {"dataQualityAssertions": facet}

    def _read_files(self, execution: Execution) -> list[Any]:
        """Inputs of the first artifact: the data's files, or their folder if they were not recorded."""
        folder = execution.properties.get("input_base")
        if not folder:
            return []
        versions: dict[str, str] = {}
        for examples in self._graph.outputs(execution.id).get("examples", []):
            _, files = facts.data_document(self._graph, examples, self._runs, self._documents)
            versions.update({os.path.join(str(folder), file.file): file.sha256 for file in files})
            if not versions and examples.properties.get("input_fingerprint"):
                versions[str(folder)] = str(examples.properties["input_fingerprint"])
        return [
            self._file(path, version) for path, version in sorted((versions or {str(folder): ""}).items())
        ]

    def _file(self, path: str, version: str) -> Any:
        """A file or folder that is not an artifact, as an input."""
        return self._dataset(dataset_name(path), version)

    def _dataset(self, name: tuple[str, str], version: str) -> Any:
        facet = facets.dataset_version_dataset.DatasetVersionDatasetFacet(version, producer=self._producer)
        return events.InputDataset(*name, facets={"version": facet})


def _canonical(document: Mapping[str, Any] | None) -> str | None:
    """The text that a document's SHA-256 was made from. The client's serializer drops what is null."""
    return None if document is None else json.dumps(document, sort_keys=True, ensure_ascii=False)


def _by_key(found: Mapping[str, Sequence[Artifact]]) -> list[tuple[str, Artifact]]:
    return [(key, artifact) for key, artifacts in sorted(found.items()) for artifact in artifacts]
