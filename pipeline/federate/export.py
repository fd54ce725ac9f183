"""Writes a federated training as an app of Flower. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from components.common.base.errors import ParedownError
from components.common.base.texts import listed
from components.common.base.whole_file import umask
from pipeline.checks.checked_config import load_checked
from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import InvalidInput
from pipeline.federate.refusals import problems_of
from pipeline.plan import code_version
from pipeline.plan.model_source import find_module

_APP = Path(__file__).with_name("app")
_PACKAGE = "paredown_app"
# What the app's modules import of Paredown.
_COMPUTING = (
    "components.common.base.metric_direction",
    "components.common.data.arrays",
    "components.common.models.compilation",
    "components.common.models.grafting",
    "components.common.training.seeding",
    "components.federated_trainer.aggregation",
    "components.federated_trainer.client_split",
    "components.federated_trainer.compression",
    "components.federated_trainer.local_training",
    "components.federated_trainer.payload",
    "components.federated_trainer.record",
)
# Artifact types of TFX, which are imported by name alone.
_NOT_CALLED = ("components.artifacts", *code_version.IF_ASKED, *code_version.DISTRIBUTED)
# Versions that the app was tested with: Flower needs a newer protobuf than TensorFlow of the older stack.
REQUIREMENTS = (
    "flwr>=1.42,<2",
    "tensorflow>=2.20,<2.22",
    "tf-keras>=2.20,<2.22",
    "numpy>=1.26",
    "pydantic>=2.12",
)


class ExportError(ParedownError):
    """An app cannot be written; the message names the folder."""


@dataclass(frozen=True)
class Exported:
    """An app that was written.

    Attributes:
        files: Their paths in its folder, sorted.
        nodes: SuperNodes that it waits for, unless the run says otherwise.
        requirements: What to install.
    """

    files: tuple[str, ...]
    nodes: int
    requirements: tuple[str, ...]


def export(config: Path, overrides: Sequence[str], output: Path) -> Exported:
    """Writes an app into a folder that is new or empty, as a whole or not at all.

    Args:
        config: The config.
        overrides: Its `--set`s.
        output: The folder.

    Raises:
        InvalidInput: If the config has mistakes, or real clients cannot train it so.
        ExportError: If the folder cannot be written.
    """
    file = load_checked(config, overrides)
    problems = problems_of(file)
    if problems:
        raise InvalidInput(problems)
    _refuse_used(output)
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".paredown-", dir=output.absolute().parent))
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}; name another folder") from error
    try:
        made.chmod(0o777 & ~umask())
        nodes = _fill(made, file)
        files = tuple(sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()))
        os.rename(made, output)  # in place of an empty folder, too
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}; name another folder") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Exported(files, nodes, REQUIREMENTS)


def _refuse_used(output: Path) -> None:
    if not os.path.lexists(output):
        return
    if not output.is_dir() or output.is_symlink():
        raise ExportError(f"{output} exists and is not a folder; name another")
    present = sorted(path.name for path in output.iterdir())
    if present:
        raise ExportError(
            f"{output} is not empty: it contains {listed(present, 3)}; name a new folder, because nothing is "
            "overwritten"
        )


def _fill(made: Path, file: ConfigFile) -> int:
    """Writes all files; returns the number of SuperNodes to wait for."""
    config = file.config
    model, train = config.model, config.model.train
    federated = train.federated
    assert federated is not None and model.module is not None
    settings = {
        "federated": json.loads(federated.canonical_json()),
        "module": model.module,
        "hparams": model.hparams,
        "learning_rate": train.learning_rate,
        "batch_size": train.plain().examples_per_step(),
        "label": config.data.label,
        "seed": config.run.seed if train.seed is None else train.seed,
    }
    package = made / _PACKAGE
    package.mkdir()
    for source in sorted(_APP.glob("*.py")):
        shutil.copyfile(source, package / source.name)
    (package / "settings.json").write_text(
        json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    _copy_modules(made, file, model.module)
    nodes = federated.clients.count or max(federated.clients_per_round or 1, federated.fewest())
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_APP), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    values = {
        "name": config.name,
        "module": model.module,
        "rounds": federated.rounds,
        "strategy": federated.strategy.kind,
        "requirements": REQUIREMENTS,
        "quoted": shlex.join(REQUIREMENTS),
        "arrays": f"that build_model's inputs are named after, and {config.data.label!r}",
        "nodes": nodes,
    }
    for template in sorted(_APP.glob("*.j2")):
        text = environment.get_template(template.name).render(values)
        (made / template.name.removesuffix(".j2")).write_text(text, encoding="utf-8")
    return nodes


def _copy_modules(made: Path, file: ConfigFile, module: str) -> None:
    """Copies what computes, and the user's module with what it imports of its project."""
    path = find_module(module, file.path)
    assert path is not None  # checks have refused a module that is not there
    roots = (file.path.absolute().parent, Path.cwd(), code_version.module_root(path, module))
    for names, folders in ((_COMPUTING, (code_version.ROOT,)), ((module,), roots)):
        for name, source in code_version.files_of(names, folders, _NOT_CALLED):
            target = made.joinpath(*name.split("."))
            target = target / "__init__.py" if source.name == "__init__.py" else target.with_suffix(".py")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
