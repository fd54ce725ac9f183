"""Finds what a cluster cannot run, before TFX is imported. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from components.common.base.beam_runner import remote_runner
from components.common.base.errors import ParedownError
from pipeline.checks import distribution_checks
from pipeline.checks.cluster_nodes import unknown_nodes
from pipeline.checks.pretrained_checks import unreachable
from pipeline.config.config import Config
from pipeline.config.config_file import ConfigFile
from pipeline.config.kubeflow_options import NodeOptions, Target
from pipeline.config.problem import Location, Problem
from pipeline.kubeflow.module_folder import hiding, image_module_root
from pipeline.kubeflow.task_names import task_names
from pipeline.plan.plan import Plan

PRODUCTS = {"kubeflow": "Kubeflow Pipelines", "vertex": "Vertex AI Pipelines"}

_TASK = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_PIPELINE = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_IMAGE = re.compile(
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_ROOTS = {"kubeflow": ("gs", "s3", "minio"), "vertex": ("gs",)}
_EXTENSIONS = {"kubeflow": (".yaml", ".yml"), "vertex": (".json",)}
_NO_CLIENT = ("s3://", "minio://")  # TensorFlow reads and writes neither

_Mistakes = Iterator[tuple[Location, str]]


class CompileError(ParedownError):
    """A pipeline that the target cannot run; the message names the node and the reason."""


def check(file: ConfigFile, plan: Plan, target: Target, image: str, pipeline_root: str) -> list[Problem]:
    """Finds everything that prevents a plan from running on a cluster.

    Args:
        file: The config.
        plan: Plan of the whole config, so that `kubeflow.nodes` may name what `--only` leaves out.
        target: What it is compiled for.
        image: Name of the tasks' container image.
        pipeline_root: URI of the folder of artifacts.

    Returns:
        A problem for each mistake, with the reason and what to write instead.
    """
    problems = [*_image(image), *_root(target, pipeline_root)]
    sections = (
        _places(file.config, target),
        _volumes(file.config, target),
        _nodes(file.config, target),
        _tfjs(file.config),
        _beam(file.config, pipeline_root),
        _module(file),
        _names(plan),
    )
    found = [
        *unknown_nodes(file.config, plan),
        *(Problem(message, at) for section in sections for at, message in section),
        *distribution_checks.check_cluster(file.config, PRODUCTS[target]),
    ]
    return problems + file.located(found)


def check_output(target: Target, output: str) -> list[Problem]:
    """Refuses a file whose name the target does not take."""
    extensions = _EXTENSIONS[target]
    if output == "-" or output.endswith(extensions):
        return []
    form = "YAML" if target == "kubeflow" else "JSON"
    fix = str(Path(output).with_suffix(extensions[0])) if Path(output).name else f"pipeline{extensions[0]}"
    message = f"{PRODUCTS[target]} recognizes {form} by the end of the file's name; write {fix}"
    return [Problem(message, (), f"-o {output}")]


def _image(image: str) -> Iterator[Problem]:
    if not _IMAGE.fullmatch(image):
        yield Problem(
            f"{image!r} is not a name of a container image; write e.g. registry.example.com/paredown:1.0",
            (),
            "--image",
        )


def _root(target: Target, pipeline_root: str) -> Iterator[Problem]:
    scheme, separator, rest = pipeline_root.partition("://")
    known = _ROOTS[target]
    wanted = " or ".join(f"{name}://bucket/folder" for name in known)
    if not separator or scheme not in known:
        yield Problem(
            f"{pipeline_root!r} is not in an object store that {PRODUCTS[target]} supports; write {wanted}",
            (),
            "--pipeline-root",
        )
    elif not rest.strip("/") or "//" in rest or any(c in rest for c in "?#*[] "):
        yield Problem(
            f"{pipeline_root!r} must be a bucket and a folder without ? # * [ ] and spaces; write {wanted}",
            (),
            "--pipeline-root",
        )


def _places(config: Config, target: Target) -> _Mistakes:
    options, imported = config.kubeflow, config.model.imported
    yield from _input("data_path", options.data_path, f"data.path, {config.data.path},", target)
    if imported is not None:
        yield from _input(
            "model_path", options.model_path, f"the imported model, {imported.file()},", target
        )
    elif options.model_path is not None:
        yield (
            ("kubeflow", "model_path"),
            "is only for an imported model, and there is no model.import; remove it",
        )
    push = options.push_directory
    fix = f"write {_lasting(target)}"
    if push is None:
        why = f"is missing: push.directory, {config.push.directory}, is on this machine, and a task's own file system"
        yield ("kubeflow", "push_directory"), f"{why} is gone when the task ends; {fix}"
    elif push.startswith(_NO_CLIENT):
        yield ("kubeflow", "push_directory"), _no_client(push, "write to", target)
    elif push.startswith("/") and not _lasts(push, config, target):
        why = f"{push} is in the task's own file system, which is gone when the task ends"
        yield ("kubeflow", "push_directory"), f"{why}; {fix}"


def _input(key: str, place: str | None, local: str, target: Target) -> _Mistakes:
    if place is None:
        yield (
            ("kubeflow", key),
            f"is missing: {local} is on this machine, where tasks on a cluster cannot read it; write gs://…, or the "
            "absolute path of the same files in the image or on a volume",
        )
    elif place.startswith(_NO_CLIENT):
        yield ("kubeflow", key), _no_client(place, "read", target)


def _lasting(target: Target) -> str:
    if target == "vertex":
        return "gs://…, or /gcs/<bucket>/…"
    return "gs://…, or a path below the mount of one of kubeflow.volumes"


def _lasts(path: str, config: Config, target: Target) -> bool:
    mounts = ["/gcs"] if target == "vertex" else [volume.mount for volume in config.kubeflow.volumes]
    return any(Path(path).is_relative_to(mount) for mount in mounts)


def _no_client(place: str, verb: str, target: Target) -> str:
    scheme = place.partition("://")[0]
    fix = "write gs://…" if target == "vertex" else "write gs://…, or a path on one of kubeflow.volumes"
    return f"TensorFlow cannot {verb} {scheme}://, of which Kubeflow stages artifacts only, not parameters; {fix}"


def _volumes(config: Config, target: Target) -> _Mistakes:
    if target == "vertex" and config.kubeflow.volumes:
        yield (
            ("kubeflow", "volumes"),
            "Vertex AI does not mount PersistentVolumeClaims; remove it, and write gs://… or /gcs/<bucket>/…, where "
            "each task sees Cloud Storage",
        )
    mounts = [volume.mount for volume in config.kubeflow.volumes]
    for index, mount in enumerate(mounts):
        if mount in mounts[:index]:
            yield (
                ("kubeflow", "volumes", index, "mount"),
                f"{mount} is the mount of another volume already; write another folder",
            )


def _tfjs(config: Config) -> _Mistakes:
    if config.push.tfjs is not None:
        yield ("push", "tfjs"), "needs an environment that the image does not have; run here, or remove it"


def _nodes(config: Config, target: Target) -> _Mistakes:
    yield from _node_options(("kubeflow", "defaults"), config.kubeflow.defaults, target)
    for key, options in config.kubeflow.nodes.items():
        yield from _node_options(("kubeflow", "nodes", key), options, target)


def _node_options(at: Location, options: NodeOptions, target: Target) -> _Mistakes:
    if target == "vertex" and options.node_selector:
        yield (
            (*at, "node_selector"),
            "Vertex AI has no node selector: it chooses machines by cpu, memory and accelerator; remove it",
        )
    kind = options.accelerator.type if options.accelerator else None
    if kind and target == "kubeflow" and "/" not in kind:
        yield (
            (*at, "accelerator", "type"),
            f"{kind!r} is not a Kubernetes resource; write e.g. nvidia.com/gpu, and choose the kind of GPU with "
            "node_selector",
        )
    if kind and target == "vertex" and not re.fullmatch(r"[A-Z0-9_]+", kind):
        yield (
            (*at, "accelerator", "type"),
            f"{kind!r} is not an accelerator of Vertex AI; write e.g. NVIDIA_TESLA_T4 or TPU_V3",
        )


def _beam(config: Config, pipeline_root: str) -> _Mistakes:
    runner = remote_runner(config.run.beam_args)
    at: Location = ("run", "beam_args")
    if runner is None:
        return
    if not pipeline_root.startswith("gs://"):
        scheme = pipeline_root.partition("://")[0]
        yield (
            at,
            f"the workers of {runner} read and write artifacts themselves, but only Kubeflow's tasks can reach "
            f"{scheme}://; write --pipeline-root gs://…, or remove --runner",
        )
    if runner.lower() in ("dataflowrunner", "dataflow"):
        given = dict(argument.partition("=")[::2] for argument in config.run.beam_args)
        for name in ("--project", "--region", "--temp_location"):
            if not given.get(name):
                yield at, f"Dataflow needs {name}; add {name}=…"
        location = given.get("--temp_location")
        if location and not location.startswith("gs://"):
            yield (
                at,
                f"Dataflow's --temp_location must be in Cloud Storage, but is {location}; write gs://…",
            )


def _module(file: ConfigFile) -> _Mistakes:
    for path in hiding(Path.cwd()):
        yield (
            ("model", "module"),
            f"{path} would hide Paredown's own package {path.stem!r} from tasks, which run in the image's copy of "
            "this folder; rename it",
        )
    try:
        image_module_root(file.config, file.path)
    except ValueError as error:
        yield ("model", "module"), str(error)
    options = file.config.model.pretrained
    why = unreachable(options, [volume.mount for volume in file.config.kubeflow.volumes])
    if options and why:
        yield ("model", "pretrained", "path" if options.path else "weights"), why


def _names(plan: Plan) -> _Mistakes:
    if not _PIPELINE.fullmatch(plan.name):
        yield (
            ("name",),
            f"{plan.name!r} is not a name of a pipeline; write lower-case letters, digits and '-'",
        )
    seen: dict[str, str] = {}
    for node_id, name in task_names(plan).items():
        if not _TASK.fullmatch(name):
            yield (
                ("candidates",),
                f"node {node_id!r} would be the task {name!r}, but Kubernetes takes only lower-case letters, digits "
                "and '-'",
            )
        twin = seen.setdefault(name, node_id)
        if twin != node_id:
            yield ("candidates",), f"nodes {twin!r} and {node_id!r} would both be the task {name!r}"
