"""What a cluster cannot run, found before TFX is imported. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from components.common.base.errors import ParedownError
from pipeline.checks import distribution_checks
from pipeline.checks.cluster_nodes import unknown_nodes
from pipeline.checks.pretrained_checks import unreachable
from pipeline.config.config import Config
from pipeline.config.config_file import ConfigFile
from pipeline.config.kubeflow_options import NodeOptions, Target
from pipeline.config.problem import Location, Problem
from pipeline.plan.code_version import module_root
from pipeline.plan.model_source import find_module
from pipeline.plan.plan import Plan

PRODUCTS = {"kubeflow": "Kubeflow Pipelines", "vertex": "Vertex AI Pipelines"}

# Argo names a template after a task. KFP before 2.1 keeps a task's spec in an annotation of the workflow,
# `implementations-<task>`, and what follows the slash of an annotation may have 63 characters.
LONGEST_TASK = 63 - len("implementations-")

_TASK = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_PIPELINE = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_IMAGE = re.compile(
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_ROOTS = {"kubeflow": ("gs", "s3", "minio"), "vertex": ("gs",)}
_EXTENSIONS = {"kubeflow": (".yaml", ".yml"), "vertex": (".json",)}
_ON_THE_SPOT = frozenset(
    {
        "BundleBasedDirectRunner",
        "DirectRunner",
        "FnApiRunner",
        "PrismRunner",
        "SwitchingDirectRunner",
    }
)

_Mistakes = Iterator[tuple[Location, str]]


class CompileError(ParedownError):
    """A pipeline that the target cannot run; the message names the node and the reason."""


def task_name(node_id: str) -> str:
    """A node's id as a name that Kubernetes takes (RFC 1123): `import-example-gen`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", node_id).lower()


def task_names(plan: Plan) -> dict[str, str]:
    """Id of each node → name of its task.

    A name that would be too long ends in a hash of the id.
    """
    names = {}
    for node in plan.nodes:
        name = task_name(node.id)
        if len(name) > LONGEST_TASK:
            digest = hashlib.sha256(node.id.encode()).hexdigest()[:8]
            name = f"{name[: LONGEST_TASK - 9].rstrip('-')}-{digest}"
        names[node.id] = name
    return names


def remote_runner(beam_args: list[str]) -> str | None:
    """The Beam runner that beam_args ask for, where its workers are other processes than the task."""
    runner = None
    for argument in beam_args:
        name, _, value = argument.partition("=")
        if name == "--runner":
            runner = value.rpartition(".")[2]
    return None if runner is None or runner in _ON_THE_SPOT else runner


def image_module_root(config: Config, config_path: Path) -> str | None:
    """Folder, below the image's working directory, where Python finds the model module.

    Returns:
        None where no folder has to be named: the working directory itself, or one that Python searches.

    Raises:
        ValueError: Where the module stands outside of the working directory.
    """
    module = config.model.module
    if module is None:
        return None
    path = find_module(module, config_path)
    assert path is not None  # pipeline.checks.config_checks refuses it otherwise
    root = module_root(path.absolute(), module)
    if root.is_relative_to(Path.cwd()) and not _installed(root):
        relative = root.relative_to(Path.cwd()).as_posix()
        return None if relative == "." else relative
    if _installed(root):
        return None
    raise ValueError(
        f"{path} is outside of {Path.cwd()}, which is what the image holds; compile in the folder that the "
        "image is built from"
    )


def _installed(folder: Path) -> bool:
    return folder.name in ("site-packages", "dist-packages") and str(folder) in sys.path


def check(file: ConfigFile, plan: Plan, target: Target, image: str, pipeline_root: str) -> list[Problem]:
    """Everything that keeps a plan from running on a cluster.

    Args:
        file: The config.
        plan: Made from the whole config, so that `kubeflow.nodes` may name what `--only` leaves out.
        target: Where it would run.
        image: Name of the tasks' container image.
        pipeline_root: Where artifacts would go.

    Returns:
        A problem for each mistake, with the reason and what to write instead.
    """
    problems = [*_image(image), *_root(target, pipeline_root)]
    sections = (
        _places(file.config, target),
        _volumes(file.config, target),
        _nodes(file.config, plan, target),
        _beam(file.config, pipeline_root),
        distribution_checks.check_cluster(file.config, PRODUCTS[target]),
        _module(file),
        _names(plan),
    )
    return problems + [file.problem(*mistake) for section in sections for mistake in section]


def check_output(target: Target, output: str) -> list[Problem]:
    """Refuses a file that the target would not take by its name."""
    extensions = _EXTENSIONS[target]
    if output == "-" or output.endswith(extensions):
        return []
    form = "YAML" if target == "kubeflow" else "JSON"
    fix = str(Path(output).with_suffix(extensions[0])) if Path(output).name else f"pipeline{extensions[0]}"
    message = f"{PRODUCTS[target]} takes {form} by the end of the file's name; write {fix}"
    return [Problem(message, (), f"-o {output}")]


def _image(image: str) -> Iterator[Problem]:
    if not _IMAGE.fullmatch(image):
        yield Problem(
            f"{image!r} is no name of a container image; write e.g. registry.example.com/paredown:1.0",
            (),
            "--image",
        )


def _root(target: Target, pipeline_root: str) -> Iterator[Problem]:
    scheme, separator, rest = pipeline_root.partition("://")
    known = _ROOTS[target]
    wanted = " or ".join(f"{name}://bucket/folder" for name in known)
    if not separator or scheme not in known:
        yield Problem(
            f"{PRODUCTS[target]} keeps artifacts in an object store, and {pipeline_root!r} is none that it "
            f"knows; write {wanted}",
            (),
            "--pipeline-root",
        )
    elif not rest.strip("/") or "//" in rest or any(c in rest for c in "?#*[] "):
        yield Problem(
            f"{pipeline_root!r} has to be a bucket and a folder without ? # * [ ] and spaces; write {wanted}",
            (),
            "--pipeline-root",
        )


def _places(config: Config, target: Target) -> _Mistakes:
    options = config.kubeflow
    if options.data_path is None:
        yield (
            ("kubeflow", "data_path"),
            f"is missing: data.path is {config.data.path}, on this machine, where no task on a cluster can "
            "read it; write gs://…, or the absolute path of the data in the image or on a volume",
        )
    elif options.data_path.startswith(("s3://", "minio://")):
        yield ("kubeflow", "data_path"), _no_client(options.data_path, "read", target)
    imported = config.model.imported
    if imported is not None and options.model_path is None:
        yield (
            ("kubeflow", "model_path"),
            f"is missing: the imported model is {imported.file()}, on this machine, where no task on a cluster can "
            "read it; write gs://…, or the absolute path of the same file in the image or on a volume",
        )
    elif imported is None and options.model_path is not None:
        yield (
            ("kubeflow", "model_path"),
            "is for an imported model, and there is no model.import; leave it out",
        )
    elif options.model_path is not None and options.model_path.startswith(("s3://", "minio://")):
        yield ("kubeflow", "model_path"), _no_client(options.model_path, "read", target)
    if options.push_directory is None:
        yield (
            ("kubeflow", "push_directory"),
            f"is missing: push.directory is {config.push.directory}, on this machine; what a task writes "
            f"into its own file system is gone when it ends; write {_lasting(target)}",
        )
    elif options.push_directory.startswith(("s3://", "minio://")):
        yield ("kubeflow", "push_directory"), _no_client(options.push_directory, "write to", target)
    elif options.push_directory.startswith("/") and not _lasts(options.push_directory, config, target):
        yield (
            ("kubeflow", "push_directory"),
            f"{options.push_directory} is in the task's own file system and gone when it ends; write "
            f"{_lasting(target)}",
        )


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
    return (
        f"TensorFlow cannot {verb} {scheme}://, and what Kubeflow stages of it are artifacts, not parameters; "
        f"{fix}"
    )


def _volumes(config: Config, target: Target) -> _Mistakes:
    if target == "vertex" and config.kubeflow.volumes:
        yield (
            ("kubeflow", "volumes"),
            "Vertex AI mounts no PersistentVolumeClaims; remove it, and write gs://… or /gcs/<bucket>/…, where "
            "each task sees Cloud Storage",
        )
    mounts = [volume.mount for volume in config.kubeflow.volumes]
    for index, mount in enumerate(mounts):
        if mount in mounts[:index]:
            yield (
                ("kubeflow", "volumes", index, "mount"),
                f"{mount} is the mount of another volume too; write another folder",
            )


def _nodes(config: Config, plan: Plan, target: Target) -> _Mistakes:
    yield from unknown_nodes(config, plan)
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
            f"{kind!r} is no resource of Kubernetes, which Kubeflow asks for; write e.g. nvidia.com/gpu, and "
            "choose the kind of GPU by node_selector",
        )
    if kind and target == "vertex" and not re.fullmatch(r"[A-Z0-9_]+", kind):
        yield (
            (*at, "accelerator", "type"),
            f"{kind!r} is no accelerator of Vertex AI; write e.g. NVIDIA_TESLA_T4 or TPU_V3",
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
            f"the workers of {runner} read and write artifacts themselves, which they cannot in {scheme}://, where "
            "only Kubeflow's tasks have them staged; write --pipeline-root gs://…, or leave --runner out",
        )
    if runner.lower() in ("dataflowrunner", "dataflow"):
        given = dict(argument.partition("=")[::2] for argument in config.run.beam_args)
        for name in ("--project", "--region", "--temp_location"):
            if not given.get(name):
                yield at, f"Dataflow needs {name}; add {name}=…"
        location = given.get("--temp_location")
        if location and not location.startswith("gs://"):
            yield at, f"Dataflow's --temp_location is in Cloud Storage, but is {location}; write gs://…"


def _module(file: ConfigFile) -> _Mistakes:
    for path in _hiding(Path.cwd()):
        yield (
            ("model", "module"),
            f"{path} would hide Paredown's own package {path.stem!r} from tasks, which run in the image's copy of "
            "this folder; call it something else",
        )
    try:
        image_module_root(file.config, file.path)
    except ValueError as error:
        yield ("model", "module"), str(error)
    options = file.config.model.pretrained
    why = unreachable(options, [volume.mount for volume in file.config.kubeflow.volumes])
    if options and why:
        yield ("model", "pretrained", "path" if options.path else "weights"), why


def _hiding(folder: Path) -> Iterator[Path]:
    """What Python would take for a package of Paredown in a folder that it looks into first."""
    for package in ("components", "pipeline"):
        own = Path(__file__).resolve().parents[2] / package
        for path in (folder / f"{package}.py", folder / package):
            imported = path if path.suffix else path / "__init__.py"
            if imported.is_file() and path.resolve() != own:
                yield path


def _names(plan: Plan) -> _Mistakes:
    if not _PIPELINE.fullmatch(plan.name):
        yield ("name",), f"{plan.name!r} is no name of a pipeline; write lower-case letters, digits and '-'"
    seen: dict[str, str] = {}
    for node_id, name in task_names(plan).items():
        if not _TASK.fullmatch(name):
            yield (
                ("candidates",),
                f"node {node_id!r} would be the task {name!r}, and Kubernetes takes lower-case letters, digits "
                "and '-' alone",
            )
        twin = seen.setdefault(name, node_id)
        if twin != node_id:
            yield ("candidates",), f"nodes {twin!r} and {node_id!r} would both be the task {name!r}"
