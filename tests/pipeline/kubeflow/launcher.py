"""Runs a compiled pipeline task by task on this machine, as Kubeflow's driver and launcher would.

The launcher of KFP brings input artifacts from the object store to where the task expects them, puts the
ExecutorInput in place of `{{$}}`, runs the command, and takes the outputs to the store
(https://github.com/kubeflow/pipelines, backend/src/v2/component/launcher_v2.go). So does this one, with a
folder for a store and nothing cached: each task sees the inputs of its own, and nothing that another left.
Artifacts go through its metadata as they do through KFP's (backend/src/v2/metadata): their names become
numbers, and they lose their types.

`tests.pipeline.kubeflow.check_parity` runs one by hand.
"""

from __future__ import annotations

import graphlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_SCHEMES = {"minio": "minio", "s3": "s3", "gs": "gcs"}


class TaskFailed(Exception):
    """A task ended with another exit code than 0; `log` is what it wrote."""

    def __init__(self, task: str, code: int, log: str):
        super().__init__(
            f"{task} exited with {code}: {log.strip().splitlines()[-1] if log.strip() else ''}"
        )
        self.task = task
        self.code = code
        self.log = log


@dataclass
class TaskResult:
    """What a task left: output key → artifact, as KFP's RuntimeArtifact in JSON values; and its log."""

    outputs: dict[str, dict[str, Any]]
    log: str


class TaskServer:
    """A process that has imported TFX, and forks one process for each command line.

    Importing takes most of a small task's time. A fork runs the module of the command line as `python -m`
    would, with arguments, environment and working directory of its own.
    """

    def __init__(self, directory: Path, environment: dict[str, str]):
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("task_server.py"))],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, command: list[str], environment: dict[str, str], log: Path) -> int:
        """Runs `python -m module …`; returns the exit code."""
        request = {"command": command, "environment": environment, "log": str(log)}
        self._process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        return int(self._process.stdout.readline())  # type: ignore[union-attr]

    def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(timeout=60)


@dataclass
class Launcher:
    """Runs a specification.

    Attributes:
        spec: KFP's PipelineSpec in JSON values.
        folder: For the store, the staged files and the logs.
        directory: The image's working directory.
        environment: The image's.
        parameters: Parameters of the run that are not the defaults.
        run_id: Part of every artifact's URI.
        server: Runs the tasks; if None, each is a new interpreter.
        fresh: Tasks that are a new interpreter even so.
        results: Task → what it left.
    """

    spec: dict[str, Any]
    folder: Path
    directory: Path
    environment: dict[str, str]
    parameters: dict[str, Any] = field(default_factory=dict)
    run_id: str = "run-1"
    server: TaskServer | None = None
    fresh: frozenset[str] = frozenset()
    results: dict[str, TaskResult] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, **attributes: Any) -> Launcher:
        """One for a compiled YAML file."""
        return cls(spec=next(iter(yaml.safe_load_all(text))), **attributes)

    def run(self) -> dict[str, TaskResult]:
        """Runs every task after those that it depends on. Paredown compiles no conditions.

        Raises:
            TaskFailed: If one fails; those that depend on it are not run.
        """
        for name in self.order():
            self.results[name] = self.run_task(name)
        return self.results

    def order(self) -> list[str]:
        """All tasks, each after those that it depends on."""
        tasks = self.spec["root"]["dag"]["tasks"]
        earlier = {name: sorted(tasks[name].get("dependentTasks", [])) for name in sorted(tasks)}
        return list(graphlib.TopologicalSorter(earlier).static_order())

    def run_task(self, name: str) -> TaskResult:
        """Runs one task, whose inputs are there."""
        task = self.spec["root"]["dag"]["tasks"][name]
        assert "condition" not in task.get("triggerPolicy", {})
        component = self.spec["components"][task["componentRef"]["name"]]
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        given = self._executor_input(name, task, component)
        staging = self.folder / "staging"
        shutil.rmtree(staging, ignore_errors=True)
        for artifact in _artifacts(given["inputs"]):
            stored = self._path(self.folder / "store", artifact["uri"])
            if stored.exists():
                shutil.copytree(stored, self._path(staging, artifact["uri"]))
        for artifact in _artifacts(given["outputs"]):
            self._path(staging, artifact["uri"]).parent.mkdir(parents=True, exist_ok=True)
        command = [
            part.replace("{{$}}", json.dumps(given)) for part in container["command"] + container["args"]
        ]
        environment = {entry["name"]: entry["value"] for entry in container.get("env", [])}
        environment["ARTIFACT_LOCAL_PATH"] = str(staging)
        code, log = self._execute(name, command, environment)
        if code:
            raise TaskFailed(name, code, log)
        outputs = self._outputs(given)
        for artifact in outputs.values():
            staged = self._path(staging, artifact["uri"])
            if staged.exists():
                shutil.copytree(staged, self._path(self.folder / "store", artifact["uri"]))
        return TaskResult(outputs, log)

    def artifact(self, task: str, key: str) -> Path:
        """Folder in the store of a task's output."""
        return self._path(self.folder / "store", self.results[task].outputs[key]["uri"])

    def _executor_input(self, name: str, task: dict[str, Any], component: dict[str, Any]) -> dict[str, Any]:
        definitions = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        values = {key: definition.get("defaultValue") for key, definition in definitions.items()}
        unknown = set(self.parameters) - set(values)
        if unknown:
            raise ValueError(f"the pipeline has no parameters {sorted(unknown)}")
        values.update(self.parameters)
        inputs = task.get("inputs", {})
        parameters = {
            key: values[source["componentInputParameter"]]
            if "componentInputParameter" in source
            else source["runtimeValue"]["constant"]
            for key, source in inputs.get("parameters", {}).items()
        }
        artifacts = {}
        for key, source in inputs.get("artifacts", {}).items():
            output = source["taskOutputArtifact"]
            producer = self.results[output["producerTask"]]
            artifacts[key] = {
                **producer.outputs[output["outputArtifactKey"]],
                "name": str(len(artifacts) + 1),
                "type": {"instanceSchema": ""},
            }
        outputs = {
            key: {
                "type": definition["artifactType"],
                "uri": f"{self.spec['defaultPipelineRoot']}/{self.run_id}/{name}/{key}",
                "metadata": definition.get("metadata", {}),
            }
            for key, definition in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        output_file = self.folder / "outputs" / name / "output_metadata.json"
        output_file.parent.mkdir(parents=True)
        return {
            "inputs": {"parameterValues": parameters, "artifacts": _lists(artifacts)},
            "outputs": {"artifacts": _lists(outputs), "outputFile": str(output_file)},
        }

    def _execute(self, name: str, command: list[str], environment: dict[str, str]) -> tuple[int, str]:
        assert command[0] == "python"
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        if self.server is not None and name not in self.fresh:
            code = self.server.run(command, environment, log)
        else:
            with open(log, "wb") as file:
                code = subprocess.run(
                    [sys.executable, *command[1:]],
                    cwd=self.directory,
                    env={**self.environment, **environment},
                    stdout=file,
                    stderr=subprocess.STDOUT,
                ).returncode
        return code, log.read_text(encoding="utf-8")

    def _outputs(self, given: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Output artifacts with what the executor says of them, merged as KFP's launcher does."""
        reported = json.loads(Path(given["outputs"]["outputFile"]).read_text(encoding="utf-8"))
        merged = {}
        for key, entry in given["outputs"]["artifacts"].items():
            (artifact,) = entry["artifacts"]
            for said in reported.get("artifacts", {}).get(key, {}).get("artifacts", [])[:1]:
                artifact["uri"] = said.get("uri") or artifact["uri"]
                artifact["metadata"] = {**artifact["metadata"], **said.get("metadata", {})}
            artifact["metadata"] = {name: _stored(value) for name, value in artifact["metadata"].items()}
            artifact["metadata"] |= {"display_name": key, "store_session_info": "{}"}
            merged[key] = artifact
        return merged

    def _path(self, folder: Path, uri: str) -> Path:
        scheme, _, rest = uri.partition("://")
        return folder / _SCHEMES[scheme] / rest


def _stored(value: Any) -> Any:
    """A value of an artifact's metadata as it comes back from KFP's metadata store."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dict):
        return {"struct": value}
    if isinstance(value, list):
        return {"list": value}
    if value is None:
        raise ValueError("KFP's metadata store takes no null")
    return value


def _lists(artifacts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {key: {"artifacts": [dict(artifact)]} for key, artifact in artifacts.items()}


def _artifacts(side: dict[str, Any]) -> list[dict[str, Any]]:
    return [artifact for entry in side["artifacts"].values() for artifact in entry["artifacts"]]


def environment_of(directory: Path) -> dict[str, str]:
    """Environment of an image whose working directory is `directory`."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(directory),
    }
