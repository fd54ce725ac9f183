"""Objects that a submission makes on the server: a pipeline, a version of it, an experiment and a run."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.base.errors import ParedownError
from pipeline.kubeflow.package import Package
from pipeline.kubeflow.server import Method, Server
from pipeline.kubeflow.server_error import ServerError


class SubmissionError(ParedownError):
    """The server is not in a state in which the run can be started."""


@dataclass(frozen=True)
class PipelineVersion:
    """A version of a pipeline on the server; `new` and `new_version` say what was created."""

    id: str
    name: str
    new: bool
    version_id: str
    version: str
    new_version: bool


@dataclass(frozen=True)
class Experiment:
    """An experiment on the server; `new` says whether it was created."""

    id: str
    name: str
    new: bool


@dataclass(frozen=True)
class Run:
    """A run on the server; `page` is its address in the user interface."""

    id: str
    name: str
    page: str
    namespace: str | None


def namespace_of(server: Server, given: str | None) -> str | None:
    """The namespace that everything belongs to; None if the server has a single user.

    Raises:
        SubmissionError: If one is needed and not known, or given and not needed.
    """
    if not server.multi_user:
        if given:
            raise SubmissionError(
                f"--namespace {given}: {server.address} has no user namespaces; remove --namespace"
            )
        return None
    namespace = given or server.namespace()
    if not namespace:
        raise SubmissionError(
            f"{server.address} has several users; give --namespace, the name of your profile in the dashboard"
        )
    return namespace


def store(server: Server, package: Package, namespace: str | None) -> PipelineVersion:
    """Creates the pipeline and its version, or finds them if the same was submitted before.

    Raises:
        ServerError: If the server refuses it, or fails.
    """
    import kfp_server_api

    pipeline, new = _found_or_created(
        server,
        f"to create the pipeline {package.spec.name}{_within(namespace)}",
        lambda client: client.pipelines.create_pipeline,
        kfp_server_api.V2beta1Pipeline(
            display_name=package.spec.name, namespace=namespace, description="Compiled by Paredown."
        ),
        find=lambda: _find(
            server,
            "pipelines",
            lambda client: client.pipelines.list_pipelines,
            package.spec.name,
            **_of(namespace),
        ),
    )
    name = package.version()
    with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
        file = Path(folder) / f"{package.spec.name}.yaml"
        file.write_text(package.text, encoding="utf-8")
        version, new_version = _found_or_created(
            server,
            f"to take the pipeline specification of {package.spec.name}",
            lambda client: client.pipeline_uploads.upload_pipeline_version,
            str(file),
            name=name,
            pipelineid=pipeline.pipeline_id,
            find=lambda: _find(
                server,
                "pipeline_versions",
                lambda client: client.pipelines.list_pipeline_versions,
                name,
                pipeline.pipeline_id,
            ),
        )
    return PipelineVersion(
        pipeline.pipeline_id, package.spec.name, new, version.pipeline_version_id, name, new_version
    )


def experiment(server: Server, name: str, namespace: str | None) -> Experiment:
    """The experiment with a name; created if there is none.

    Raises:
        SubmissionError: If it is archived.
        ServerError: If the server refuses it, or fails.
    """
    import kfp_server_api

    found, new = _found_or_created(
        server,
        f"to create the experiment {name}{_within(namespace)}",
        lambda client: client.experiments.create_experiment,
        kfp_server_api.V2beta1Experiment(display_name=name, namespace=namespace),
        find=lambda: _find(
            server,
            "experiments",
            lambda client: client.experiments.list_experiments,
            name,
            **_of(namespace),
        ),
    )
    if found.storage_state == "ARCHIVED":
        raise SubmissionError(
            f"the experiment {name} is archived and takes no runs; restore it in the user interface, or give another "
            "--experiment"
        )
    return Experiment(found.experiment_id, name, new)


def start(
    server: Server,
    version: PipelineVersion,
    experiment: Experiment,
    name: str,
    values: Mapping[str, Any],
    namespace: str | None = None,
    pipeline_root: str | None = None,
    service_account: str | None = None,
) -> Run:
    """Starts a run, once: if the answer is lost, looks for the run before it asks again.

    Args:
        server: Where to run.
        version: What to run.
        experiment: The run's experiment.
        name: Name of the run in the user interface.
        values: Values of parameters; the others have their defaults.
        namespace: That of the experiment.
        pipeline_root: URI of the folder of artifacts, in place of the compiled one.
        service_account: Kubernetes service account of the tasks.

    Raises:
        ServerError: If the server refuses it, or fails; `sent` if a run may have been started.
    """
    import kfp_server_api

    mark = f"Submitted by Paredown ({uuid.uuid4().hex})."
    body = kfp_server_api.V2beta1Run(
        experiment_id=experiment.id,
        display_name=name,
        description=mark,
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=version.id, pipeline_version_id=version.version_id
        ),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(
            parameters=dict(values), pipeline_root=pipeline_root
        ),
        service_account=service_account,
    )

    def find() -> Any:
        listed = server.read(
            "runs",
            lambda client: client.runs.list_runs,
            experiment_id=experiment.id,
            filter=_named(name),
        )
        return next((run for run in listed.runs or [] if run.description == mark), None)

    run = server.write("to start a run", lambda client: client.runs.create_run, body, find=find)
    if not run.run_id:
        raise ServerError(
            f"{server.address} returned no id for the run; check in {server.page} whether it exists",
            sent=True,
        )
    return Run(run.run_id, name, _page(server, run.run_id), namespace)


def started(
    server: Server,
    version: PipelineVersion,
    experiment: Experiment,
    name: str,
    values: Mapping[str, Any],
    namespace: str | None = None,
) -> Run | None:
    """The newest run of a name that has not failed, of the same content and data; None if there is none.

    Args:
        server: Where it may be.
        version: What it has to run.
        experiment: The run's experiment.
        name: Name of the run.
        values: Values of parameters that it has to have.
        namespace: That of the experiment.

    Raises:
        ServerError: If the server refuses to answer, or fails.
    """
    listed = server.read(
        "runs",
        lambda client: client.runs.list_runs,
        experiment_id=experiment.id,
        sort_by="created_at desc",
        filter=_named(name),
    )
    for run in listed.runs or []:
        of = run.pipeline_version_reference
        given = (run.runtime_config.parameters if run.runtime_config else None) or {}
        if (
            of
            and of.pipeline_version_id == version.version_id
            and given == dict(values)
            and run.state not in ("FAILED", "CANCELED", "CANCELING", "SKIPPED")
        ):
            return Run(run.run_id, name, _page(server, run.run_id), namespace)
    return None


def _page(server: Server, run_id: str) -> str:
    return f"{server.page}/#/runs/details/{run_id}"


def _found_or_created(
    server: Server, what: str, method: Method, *body: Any, find: Callable[[], Any], **options: Any
) -> tuple[Any, bool]:
    """The object that `find` finds, or a new one; and whether it was created."""
    found = find()
    return (found, False) if found else (server.write(what, method, *body, find=find, **options), True)


def _find(server: Server, kind: str, method: Method, name: str, *of: str, **options: str) -> Any:
    """The row with a display name, from one of KFP's lists; None if there is none."""
    listed = server.read(kind.replace("_", " "), method, *of, filter=_named(name), **options)
    rows = getattr(listed, kind) or []
    return next((row for row in rows if row.display_name == name), None)


def _named(name: str) -> str:
    """A filter of KFP's lists."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _of(namespace: str | None) -> dict[str, str]:
    return {"namespace": namespace} if namespace else {}


def _within(namespace: str | None) -> str:
    return f" in the namespace {namespace}" if namespace else ""
