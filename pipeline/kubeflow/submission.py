"""Submitting a compiled pipeline: its pipeline, version and experiment on the server, and a run of it."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.base.errors import ParedownError
from pipeline.kubeflow.package import Package
from pipeline.kubeflow.server import Server, ServerError


class SubmissionError(ParedownError):
    """The server is not in a state in which the run could be started."""


@dataclass(frozen=True)
class Stored:
    """A version of a pipeline on the server.

    Attributes:
        pipeline_id: Of the pipeline.
        version_id: Of the version.
        version: Its name.
        new_pipeline: Whether the pipeline was created for it.
        new_version: Whether it was uploaded, and not there before.
    """

    pipeline_id: str
    version_id: str
    version: str
    new_pipeline: bool
    new_version: bool


@dataclass(frozen=True)
class Started:
    """A run that was started.

    Attributes:
        run_id: The server's.
        name: As it is shown.
        page: Address in the user interface.
    """

    run_id: str
    name: str
    page: str


def namespace_of(server: Server, given: str | None) -> str | None:
    """The namespace that everything belongs to; None where the server has one user.

    Raises:
        SubmissionError: Where one is needed and not known, or given and not wanted.
    """
    if not server.multi_user:
        if given:
            raise SubmissionError(
                f"--namespace {given}: {server.address} has no namespaces of users; leave --namespace out"
            )
        return None
    namespace = given or server.namespace()
    if not namespace:
        raise SubmissionError(
            f"{server.address} has several users; give --namespace, the name of your profile in the dashboard"
        )
    return namespace


def store(server: Server, package: Package, namespace: str | None) -> Stored:
    """Creates the pipeline, or a version of it; finds both where the same was submitted before.

    Raises:
        ServerError: Where the server refuses it, or fails.
    """
    version_name = package.version()

    def find_pipeline() -> Any:
        options = {"namespace": namespace} if namespace else {}
        listed = server.call(
            "pipelines",
            lambda: server.client.pipelines.list_pipelines,
            filter=_named(package.name),
            **options,
        )
        return _of_name(listed.pipelines, package.name)

    pipeline = find_pipeline()
    new_pipeline = pipeline is None
    if pipeline is None:
        import kfp_server_api

        body = kfp_server_api.V2beta1Pipeline(
            display_name=package.name, namespace=namespace, description="Compiled by Paredown."
        )
        pipeline = server.call(
            f"to create the pipeline {package.name}{_within(namespace)}",
            lambda: server.client.pipelines.create_pipeline,
            body,
            found=find_pipeline,
            writes=True,
        )

    def find_version() -> Any:
        listed = server.call(
            "versions of the pipeline",
            lambda: server.client.pipelines.list_pipeline_versions,
            pipeline.pipeline_id,
            filter=_named(version_name),
        )
        return _of_name(listed.pipeline_versions, version_name)

    version = None if new_pipeline else find_version()
    new_version = version is None
    if version is None:
        with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
            file = Path(folder) / f"{package.name}.yaml"
            file.write_text(package.text, encoding="utf-8")
            version = server.call(
                f"to take the pipeline specification of {package.name}",
                lambda: server.client.pipeline_uploads.upload_pipeline_version,
                str(file),
                name=version_name,
                pipelineid=pipeline.pipeline_id,
                found=find_version,
                writes=True,
            )
    return Stored(
        pipeline.pipeline_id, version.pipeline_version_id, version_name, new_pipeline, new_version
    )


def experiment(server: Server, name: str, namespace: str | None) -> tuple[str, bool]:
    """The experiment of a name, created where there is none.

    Returns:
        Its id, and whether it was created.

    Raises:
        SubmissionError: Where it is archived.
        ServerError: Where the server refuses it, or fails.
    """

    def find() -> Any:
        options = {"namespace": namespace} if namespace else {}
        listed = server.call(
            f"experiments{_within(namespace)}",
            lambda: server.client.experiments.list_experiments,
            filter=_named(name),
            **options,
        )
        return _of_name(listed.experiments, name)

    found = find()
    created = found is None
    if found is None:
        import kfp_server_api

        found = server.call(
            f"to create the experiment {name}{_within(namespace)}",
            lambda: server.client.experiments.create_experiment,
            kfp_server_api.V2beta1Experiment(display_name=name, namespace=namespace),
            found=find,
            writes=True,
        )
    if found.storage_state == "ARCHIVED":
        raise SubmissionError(
            f"the experiment {name} is archived, and takes no runs; restore it in the user interface, or name another "
            "one with --experiment"
        )
    return found.experiment_id, created


def start(
    server: Server,
    stored: Stored,
    experiment_id: str,
    name: str,
    values: Mapping[str, Any],
    pipeline_root: str | None = None,
    service_account: str | None = None,
) -> Started:
    """Starts a run, once: where an answer is lost, it is looked for before it is started again.

    Args:
        server: Where to.
        stored: What to run.
        experiment_id: Where it belongs.
        name: As it is shown.
        values: Of parameters; those that are not given have their defaults.
        pipeline_root: URI of the folder of artifacts, in place of the compiled one.
        service_account: Of Kubernetes, which the tasks run as.

    Raises:
        ServerError: Where the server refuses it, or fails; `sent` where a run may have been started.
    """
    import kfp_server_api

    mark = f"Submitted by Paredown ({uuid.uuid4().hex})."
    body = kfp_server_api.V2beta1Run(
        experiment_id=experiment_id,
        display_name=name,
        description=mark,
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=stored.pipeline_id, pipeline_version_id=stored.version_id
        ),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(
            parameters=dict(values), pipeline_root=pipeline_root
        ),
        service_account=service_account,
    )

    def find() -> Any:
        listed = server.call(
            "runs",
            lambda: server.client.runs.list_runs,
            experiment_id=experiment_id,
            filter=_named(name),
        )
        return next((run for run in listed.runs or [] if run.description == mark), None)

    run = server.call(
        "to start a run", lambda: server.client.runs.create_run, body, found=find, writes=True
    )
    if not run.run_id:
        raise ServerError(
            f"{server.address} gave the run no id; look in {server.page} whether it is there", sent=True
        )
    return Started(run.run_id, name, server.run_page(run.run_id))


def _named(name: str) -> str:
    """A filter of KFP's lists."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _of_name(rows: list[Any] | None, name: str) -> Any:
    return next((row for row in rows or [] if row.display_name == name), None)


def _within(namespace: str | None) -> str:
    return f" in the namespace {namespace}" if namespace else ""
