"""Parameters of a compiled pipeline that may differ from run to run, and what each of them sets.

Imports neither TensorFlow nor TFX: whoever submits a run asks here for defaults and the fingerprint.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.config import Config
from pipeline.plan import data_files, import_source
from pipeline.plan.data_files import split_files
from pipeline.plan.node import PUSHER, TRAINER
from pipeline.plan.plan import Plan

DATA_PATH = "data_path"
DATA_FINGERPRINT = "data_fingerprint"
MODEL_PATH = "model_path"
PUSH_DIRECTORY = "push_directory"
SEED = "seed"

_READ_AT_ONCE = 2**20


@dataclass(frozen=True)
class Binding:
    """What a parameter of the run sets.

    Attributes:
        node: Id in the plan.
        parameter: The node's; where it has none of this name, it gets one, for the cache key alone.
        path: Keys inside it, where it holds JSON; the pipeline cannot hand in part of a value, so that
            `pipeline.kubeflow.entrypoint` does.
    """

    node: str
    parameter: str
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunParameter:
    """A parameter of a run of a compiled pipeline."""

    name: str
    default: str | int
    description: str
    bindings: tuple[Binding, ...]


def run_parameters(plan: Plan, config: Config, fingerprint: str) -> list[RunParameter]:
    """The parameters of a plan's runs.

    Args:
        plan: What is compiled.
        config: Which names data_path and push_directory in its kubeflow section.
        fingerprint: As `fingerprint` computes it.
    """
    trained = [Binding(TRAINER, "custom_config", (SEED,))] if config.model.imported is None else []
    seeded = [Binding(node.id, SEED) for node in plan.nodes if SEED in node.parameters]
    return [
        RunParameter(
            DATA_PATH,
            config.kubeflow.data_path or config.data.path,
            "Folder of the examples: gs://…, or an absolute path in the image or on a volume.",
            (Binding(plan.example_gen, "input_base"),),
        ),
        RunParameter(
            DATA_FINGERPRINT,
            fingerprint,
            "Tells changed data under the same path from what is cached; any text that changes with them.",
            (Binding(plan.example_gen, DATA_FINGERPRINT),),
        ),
        *_model_path(plan, config),
        RunParameter(
            PUSH_DIRECTORY,
            config.kubeflow.push_directory or config.push.directory,
            "Gets one folder per pushed version.",
            (Binding(PUSHER, "push_destination", ("filesystem", "base_directory")),),
        ),
        RunParameter(
            SEED,
            config.run.seed,
            "Seeds training, sampling and bootstrap; steps with a seed of their own keep it.",
            (*trained, *seeded),
        ),
    ]


def _model_path(plan: Plan, config: Config) -> list[RunParameter]:
    """Where an imported model is; its SHA-256 stays the one that was compiled."""
    if config.model.imported is None:
        return []
    path = (import_source.KEY, "path")
    readers = [node.id for node in plan.nodes if "model_source" in node.parameters]
    return [
        RunParameter(
            MODEL_PATH,
            config.kubeflow.model_path or str(plan.source[import_source.KEY]["path"]),
            "The imported model: gs://…, or an absolute path in the image or on a volume; the same content as when "
            "the pipeline was compiled.",
            tuple(Binding(node, "model_source", path) for node in readers),
        )
    ]


def fingerprint(config: Config, folder: str | Path | None = None) -> str:
    """Hash over names and contents of the files of both splits.

    Args:
        config: Whose splits to read.
        folder: Where they are; data.path where it is None.

    Returns:
        32 hexadecimal digits.

    Raises:
        FileNotFoundError: Where a split has no file.
    """
    return fingerprint_of(folder or config.data.path, data_files.patterns(config.data, folder))


def fingerprint_of(folder: str | Path, splits: Mapping[str, str]) -> str:
    """Hash over names and contents of the files of splits.

    By content, other than the fingerprint of local runs: a copy of the same data on a cluster, or on
    somebody else's machine, has other times.

    Args:
        folder: Where they are.
        splits: Split → pattern of its files, in the order of the plan.

    Returns:
        32 hexadecimal digits.

    Raises:
        FileNotFoundError: Where a split has no file.
    """
    folder = os.path.abspath(folder)
    digest = hashlib.blake2b(digest_size=16)
    for split, pattern in splits.items():
        files = split_files(folder, pattern)
        if not files:
            raise FileNotFoundError(f"no file matches {pattern!r}, which the split {split!r} is")
        for path in files:
            name = f"{split}/{path.relative_to(folder).as_posix()}"
            # Lengths first, so that no two sets of files read alike.
            digest.update(f"{len(name)} {name} {path.stat().st_size} ".encode())
            with open(path, "rb") as file:
                while block := file.read(_READ_AT_ONCE):
                    digest.update(block)
    return digest.hexdigest()
