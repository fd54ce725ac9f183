"""Parameters of a compiled pipeline that may differ from run to run, and what each of them sets.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config.config import Config
from pipeline.plan import import_source
from pipeline.plan.node import PUSHER, TRAINER
from pipeline.plan.plan import Plan

DATA_PATH = "data_path"
DATA_FINGERPRINT = "data_fingerprint"
MODEL_PATH = "model_path"
PUSH_DIRECTORY = "push_directory"
SEED = "seed"


@dataclass(frozen=True)
class Binding:
    """The option that a parameter of the run sets.

    Attributes:
        node: Id in the plan.
        parameter: The node's; if it has none of this name, it gets one, for the cache key only.
        path: Keys inside it, if it holds JSON; a pipeline cannot set part of a value, so `pipeline.kubeflow.entrypoint`
            does.
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
        config: Its kubeflow section names data_path and push_directory.
        fingerprint: The data's, as `pipeline.kubeflow.fingerprint` computes it.
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
            "Distinguishes changed data under the same path from cached data; any text that changes with the data.",
            (Binding(plan.example_gen, DATA_FINGERPRINT),),
        ),
        *_model_path(plan, config),
        *([_push_directory(config)] if plan.pushes else []),
        RunParameter(
            SEED,
            config.run.seed,
            "Seed of training, sampling and bootstrap; steps with their own seed keep it.",
            (*trained, *seeded),
        ),
    ]


def _push_directory(config: Config) -> RunParameter:
    return RunParameter(
        PUSH_DIRECTORY,
        config.kubeflow.push_directory or config.push.directory,
        "Folder that gets one subfolder per pushed version.",
        (Binding(PUSHER, "push_destination", ("filesystem", "base_directory")),),
    )


def _model_path(plan: Plan, config: Config) -> list[RunParameter]:
    """The place of an imported model; its SHA-256 stays the compiled one."""
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
