"""New projects: folders made from the templates in pipeline/project/templates. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import jinja2

from components.common.base.errors import ParedownError
from components.common.base.installed import version_of
from components.common.base.texts import listed
from components.common.base.whole_file import umask
from pipeline.config.config import LONGEST_NAME, check_name

TEMPLATES = {
    "image": "folders of PNG images, one for each class; a small CNN is trained, pruned and quantized",
    "tabular": "a CSV file with text, numbers and missing values; Transform, and a network of dense layers",
    "import": "an existing Keras model; it is quantized with a calibration set and not trained",
}

_FOLDER = Path(__file__).parent / "templates"
_COMMON = "common"
# In this repository, tools would read these files as its own if they had their real names.
_HIDDEN = {"gitignore": ".gitignore", "dockerignore": ".dockerignore"}
_RENDERED, _UNPACKED = ".j2", ".zip"


class ProjectError(ParedownError):
    """A project that cannot be made; the message says what to do instead."""


def name_of(directory: Path) -> str:
    """A pipeline's name after a folder's: `My Model_2` gives `my-model-2`.

    Raises:
        ProjectError: If no part of the folder's name can be used.
    """
    name = (
        re.sub(r"[^a-z0-9]+", "-", directory.absolute().name.lower()).strip("-")[:LONGEST_NAME].strip("-")
    )
    if not name:
        raise ProjectError(
            f"{directory.absolute().name!r} has no letter a to z and no digit, so it cannot name the pipeline; "
            "write --name NAME"
        )
    return name


@dataclass(frozen=True)
class Project:
    """A project that was made.

    Attributes:
        name: Name of the pipeline.
        files: The files, relative to the folder, sorted; an archive that was unpacked is one entry for each folder.
    """

    name: str
    files: tuple[str, ...]


def create(directory: Path, template: str, name: str | None = None, target: str = "mobile") -> Project:
    """Makes a project. It appears whole or not at all.

    Args:
        directory: The new folder; if it exists, it must be empty.
        template: One of `TEMPLATES`.
        name: Name of the pipeline; the folder's if it is None.
        target: Kind of the target that the config names.

    Raises:
        ProjectError: If the name is not valid, or the folder is in use or cannot be written.
    """
    try:
        name = name_of(directory) if name is None else check_name(name)
    except ValueError as error:
        raise ProjectError(f"--name: {error}") from None
    _refuse_used(directory)
    there = os.path.isdir(directory)
    parent = directory if there else directory.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".paredown-", dir=parent))
    except OSError as error:
        raise ProjectError(f"{parent} cannot be written: {error.strerror}; name another folder") from error
    try:
        made.chmod(0o777 & ~umask())
        values = {
            "name": name,
            "template": template,
            "target": target,
            "version": version_of("paredown"),
        }
        listed: list[str] = []
        for source in (_COMMON, template):
            listed += _fill(_FOLDER / source, made, values)
        if there:
            _move_up(made)
        else:
            os.rename(made, directory)
    except OSError as error:
        raise ProjectError(
            f"{directory} cannot be written: {error.strerror}; name another folder"
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Project(name, tuple(sorted(listed)))


def _refuse_used(directory: Path) -> None:
    if not os.path.lexists(directory):
        return
    if not os.path.isdir(directory):
        raise ProjectError(f"{directory} exists and is not a folder; name another")
    try:
        present = sorted(path.name for path in directory.iterdir())
    except OSError as error:
        raise ProjectError(f"{directory} cannot be read: {error.strerror}; name another folder") from error
    if present:
        raise ProjectError(
            f"{directory} is not empty: it contains {listed(present, 3)}; name a new folder, because nothing is "
            "overwritten"
        )


def _move_up(made: Path) -> None:
    """Moves the contents of a folder into its parent, which may be the working directory or a mount."""
    moved: list[Path] = []
    try:
        for path in sorted(made.iterdir()):
            moved.append(path.rename(made.parent / path.name))
    except BaseException:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _fill(source: Path, target: Path, values: dict[str, str]) -> list[str]:
    """Copies, renders or unpacks each file of a template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(source), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    listed = []
    for path in sorted(source.rglob("*")):
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        relative = path.relative_to(source)
        relative = relative.with_name(_HIDDEN.get(relative.name, relative.name))
        if path.suffix == _UNPACKED:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(target / relative.with_suffix(""))
            listed.append(f"{relative.with_suffix('')}/")
            continue
        to = target / (relative.with_suffix("") if path.suffix == _RENDERED else relative)
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == _RENDERED:
            rendered = environment.get_template(path.relative_to(source).as_posix()).render(values)
            to.write_text(rendered, encoding="utf-8")
        else:
            shutil.copyfile(path, to)
        listed.append(to.relative_to(target).as_posix())
    return listed
