"""The inputs of a run: config, code, environment, data. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.base.file_hashes import FileHashes
from components.common.base.installed import version_of, version_or_none
from pipeline.config.config import Config
from pipeline.plan.data_files import files as find_files
from pipeline.store.search_record import SearchRecord

PACKAGES = (
    "ai-edge-litert",
    "apache-beam",
    "ml-metadata",
    "numpy",
    "tensorflow",
    "tensorflow-model-analysis",
    "tensorflow-model-optimization",
    "tf-keras",
    "tfx",
)


@dataclass(frozen=True)
class Document:
    """A JSON document that is named by its content.

    Attributes:
        kind: `config`, `environment`, `data` or `search`.
        text: The JSON, with sorted keys.
    """

    kind: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Provenance:
    """Everything that is known before the first node runs.

    Attributes:
        pipeline: Its name.
        config_path: File that the config was read from.
        config: As resolved: defaults filled in, overrides applied.
        environment: Python, platform, CPU and versions of the packages that do the work.
        data: Split → its files with bytes and SHA-256.
        version: Paredown's.
        git_commit: Git commit of the repository that the config is in; empty if there is none.
        git_dirty: Whether its Python or YAML files differ from that commit.
        seed: Seed of the run.
        directory: The working directory, which paths that are not absolute go by.
        search: The search that the run is part of; None if it is not.
    """

    pipeline: str
    config_path: str
    config: Document
    environment: Document
    data: Document
    version: str
    git_commit: str
    git_dirty: bool
    seed: int
    directory: str = ""
    search: Document | None = None

    def documents(self) -> tuple[Document, ...]:
        """The documents."""
        return self.config, self.environment, self.data, *((self.search,) if self.search else ())


def collect(config: Config, config_path: Path, search: SearchRecord | None = None) -> Provenance:
    """Collects what a run is about to be made of. Reads every data file once, to hash it.

    Args:
        config: As resolved.
        config_path: The file that it was read from.
        search: The search that the run is part of; None if it is not.
    """
    commit, dirty = git_state(config_path.absolute().parent)
    return Provenance(
        pipeline=config.name,
        config_path=str(config_path.absolute()),
        config=_document("config", config.model_dump(mode="json", by_alias=True)),
        environment=_document("environment", environment()),
        data=data_document(config, FileHashes()),
        version=version_of("paredown"),
        git_commit=commit,
        git_dirty=dirty,
        seed=config.run.seed,
        directory=str(Path.cwd()),
        search=_document("search", search.to_json()) if search else None,
    )


def _document(kind: str, content: dict[str, Any]) -> Document:
    return Document(kind, json.dumps(content, sort_keys=True, ensure_ascii=False))


def environment() -> dict[str, Any]:
    """Python, platform, CPU and the versions of the packages that train, convert, measure and record."""
    from components.measurer.machine import cpu_name

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    return version_or_none(package) or "not installed"


def data_document(config: Config, hashes: FileHashes) -> Document:
    """The files of the data by their content; cached examples are compared with its digest."""
    return _document("data", data_files(config, hashes))


def data_files(config: Config, hashes: FileHashes) -> dict[str, Any]:
    """Split → `{file, bytes, sha256}` of each of its files, in the order of their names."""
    root = Path(config.data.path).absolute()
    return {
        split: [
            {
                "file": os.path.relpath(file, root),
                "bytes": file.stat().st_size,
                "sha256": sha256,
            }
            for file, sha256 in zip(files, hashes.of_files(files), strict=True)
        ]
        for split, files in find_files(config.data).items()
    }


def git_state(folder: Path) -> tuple[str, bool]:
    """Commit of the repository around a folder, and whether code or configs differ from it.

    Results of runs that Git does not ignore do not make a repository dirty; a model module that was not added
    does.

    Returns:
        The commit, empty if there is no repository or no Git; and whether it is dirty.
    """
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return "", False
    top = _git(folder, "rev-parse", "--show-toplevel")
    changed = _git(Path(top or folder), "status", "--porcelain", "--", "*.py", "*.yaml", "*.yml")
    return commit, bool(changed)


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def summary(provenance: Provenance) -> dict[str, Any]:
    """The provenance as flat values, with documents by their digest."""
    values = dataclasses.asdict(provenance)
    del values["search"]
    for document in provenance.documents():
        values.pop(document.kind, None)
        values[f"{document.kind}_hash"] = document.digest
    return {**values, "git_dirty": int(provenance.git_dirty)}
