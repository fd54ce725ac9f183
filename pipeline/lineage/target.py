"""The target of `paredown lineage TARGET`: a pushed folder, a model file, an artifact, a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from components.common.base.errors import ParedownError
from components.common.base.file_hashes import CONTENT, FILES, JUDGED, from_property
from components.common.base.file_hashes import digest as file_digest
from components.common.base.near_names import closest
from components.common.models import model_format
from components.common.models.model_format import ModelFormatError
from pipeline.store.reader import Reader
from pipeline.store.records import Artifact, Run

OK, WARNING, TAMPERED = "ok", "warning", "tampered"
LATEST = "latest"

# Property of a model that comes from another one, by its SHA-256 → what the model did with it.
_SOURCES = {"source_sha256": "was imported from", "pretrained_sha256": "began its training with"}


class TargetError(ParedownError):
    """A target that the store does not know; the text says what it knows."""


@dataclass(frozen=True)
class Note:
    """Something found out about a target.

    Attributes:
        kind: OK, WARNING or TAMPERED.
        text: A sentence.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Target:
    """The artifacts that a walk begins at.

    Attributes:
        artifacts: Ids.
        run: The run that was named, if one was.
        notes: What was found out on the way.
    """

    artifacts: tuple[int, ...]
    run: Run | None = None
    notes: tuple[Note, ...] = ()

    def tampered(self) -> bool:
        """Whether files are not as they were recorded."""
        return any(note.kind == TAMPERED for note in self.notes)


def resolve(reader: Reader, text: str) -> Target:
    """Finds the artifacts and the run that a text names.

    Args:
        reader: Reader of the store.
        text: Path of a pushed version, of the folder around it (its newest version counts), of a model
            file or an artifact's folder; an artifact's id; a run's id or the beginning of one; `latest`.

    Raises:
        TargetError: If the store does not know it.
    """
    if text and os.path.exists(text):
        try:
            return _by_path(reader, _recorded_path(reader, text))
        except OSError as error:
            raise TargetError(f"{error.filename or text} cannot be read: {error.strerror}") from None
    if text.isdecimal():
        number = int(text)
        found = reader.artifacts([number]) if number < 2**63 else []
        if not found:
            raise TargetError(f"no artifact has the id {text}")
        return Target((found[0].id,), notes=_state_of_push(found[0]))
    if "/" in text:
        raise TargetError(f"{text} does not exist")
    run = find_by_name(reader, text)
    outputs = _last_outputs(reader, run)
    notes = [note for artifact in outputs for note in _state_of_push(artifact)]
    return Target(tuple(artifact.id for artifact in outputs), run, tuple(notes))


def find_by_name(reader: Reader, text: str) -> Run:
    """The run of an id, of the only id that begins so, or the newest for `latest`.

    Raises:
        TargetError: If there is none, or several.
    """
    if text == LATEST:
        newest = reader.runs(limit=1)
        if not newest:
            raise TargetError("the store has no runs yet")
        return newest[0]
    if not text or not text.isprintable():  # bytes that are not text cannot be a name
        raise TargetError(f"{text!r} is not a path, an artifact id or a run (`paredown runs` lists them)")
    run = reader.run(text)
    if run is not None:
        return run
    names = reader.run_ids()
    matching = [name for name in names if name.startswith(text)]
    if len(matching) == 1:
        return reader.runs_by_id(matching)[0]
    if matching:
        raise TargetError(
            f"{len(matching)} runs begin with {text!r}, the newest is {matching[-1]}; write more of the id"
        )
    close = closest(text, [*names, LATEST], cutoff=0.6)
    hint = f"; did you mean {close}?" if close else f"; the newest is {names[-1]}" if names else ""
    raise TargetError(f"{text!r} is not a path, an artifact id or a run{hint} (`paredown runs` lists them)")


def _last_outputs(reader: Reader, run: Run) -> list[Artifact]:
    """The results of a run: what it pushed, else its report, else the artifacts that nothing read."""
    edges = reader.edges_of_executions(execution.id for execution in reader.executions_of_run(run))
    read = {edge.artifact for edge in edges if not edge.output}
    made = reader.artifacts(edge.artifact for edge in edges if edge.output)
    for wanted in ("pushed", "winner"):
        found = [artifact for artifact in made if artifact.properties.get(wanted)]
        if found:
            return found[-1:]
    if not made:
        raise TargetError(f"run {run.id} made no artifact ({run.status})")
    return [artifact for artifact in made if artifact.id not in read]


def _recorded_path(reader: Reader, text: str) -> Path:
    """The path of a target; if it is a link to something that was pushed or made, the path of that.

    What serves models often reads a link, such as `current`, that is moved from version to version.
    """
    path, real = Path(text).absolute(), Path(os.path.realpath(text))
    if path == real or _artifact_at(reader, path) is not None:
        return path
    pushed = {a.properties.get("pushed_destination") for a in reader.artifacts_of_type("PushedModel")}
    places = {str(real), str(real.parent), str(_newest_version(real))}
    return real if places & pushed or _artifact_at(reader, real) is not None else path


def _by_path(reader: Reader, path: Path) -> Target:
    path = _newest_version(path)
    folder = path if path.is_dir() else path.parent
    own = _artifact_at(reader, path)
    if own is not None:
        return Target((own.id,), notes=_compare(path, own, own.uri))
    files = _hashes(path)
    if not files:
        raise TargetError(f"{path} has no file in it")
    matches = reader.artifacts_with_file({*files.values(), *_as_model(path)})
    here = [a for a in matches if a.properties.get("pushed_destination") == str(folder)]
    if not here:
        here = [
            artifact
            for artifact in reader.artifacts_of_type("PushedModel")
            if artifact.properties.get("pushed_destination") == str(folder)
        ]
    if here:
        pushed = here[-1]
        notes = _compare(path, pushed, str(folder))
        return Target((pushed.id,), notes=notes)
    matches = matches or _unindexed(reader, set(files.values()))
    if not matches:
        raise TargetError(
            f"{path} was not made here: no artifact in this store has a file with this content "
            f"(SHA-256 {next(iter(files.values()))[:12]}…)"
        )
    return _by_content(path, files, matches)


def _as_model(path: Path) -> set[str]:
    """The digest by which another model names this one as its source; a model may be several files."""
    try:
        return {model_format.digest(path)}
    except ModelFormatError:
        return set()


def _by_content(path: Path, files: dict[str, str], matches: list[Artifact]) -> Target:
    """The artifact that first held what a file holds; what was copied from it has the same content."""
    first = matches[0]
    known = set(_recorded(first).values())
    held = [name for name, digest in files.items() if digest in known]
    # If a folder has more in it, such as a whole project, the note names the file.
    place = path / held[0] if path.is_dir() and held and len(held) < len(files) else path
    notes = [Note(OK, f"{place} has the content of artifact {first.id}, {first.uri}")]
    as_model = _as_model(path)
    for source, what in _SOURCES.items():
        digest = first.properties.get(source)
        if digest in as_model:
            notes = [Note(OK, f"{path} is what artifact {first.id} {what} (SHA-256 {digest[:12]}…)")]
    if len(matches) > 1:
        others = ", ".join(str(artifact.id) for artifact in matches[1:6])
        more = f" and {len(matches) - 6} more" if len(matches) > 6 else ""
        notes.append(Note(OK, f"the same content is also in: {others}{more}"))
    return Target((first.id,), notes=tuple(notes))


def _newest_version(path: Path) -> Path:
    """The folder of the highest number in a folder that has nothing but versions."""
    if not path.is_dir():
        return path
    versions = [child for child in path.iterdir() if child.is_dir() and child.name.isdecimal()]
    has_files = any(child.is_file() for child in path.iterdir())
    return max(versions, key=lambda child: int(child.name)) if versions and not has_files else path


def _artifact_at(reader: Reader, path: Path) -> Artifact | None:
    """The artifact whose folder a path is or is in."""
    for folder in (path, *path.parents):
        found = reader.artifacts_at(str(folder))
        if found:
            return found[0]
    return None


def _unindexed(reader: Reader, digests: set[str]) -> list[Artifact]:
    """Artifacts of runs that left no record that hold one of these files; each model has to be hashed."""
    if reader.began_with_records():
        return []
    models = [*reader.artifacts_of_type("Model"), *reader.artifacts_of_type("PushedModel")]
    return [artifact for artifact in models if digests & set(_recorded(artifact).values())]


def _recorded(artifact: Artifact) -> dict[str, str]:
    """Files of an artifact by digest: as judged, else as recorded, else as they are in the artifact's own folder."""
    for name in (JUDGED, FILES, CONTENT):
        found = from_property(artifact.properties.get(name))
        if found:
            return found
    folder = Path(artifact.uri)
    return _hashes(folder) if folder.is_dir() else {}


def _hashes(path: Path) -> dict[str, str]:
    """Relative path of each file → its SHA-256; hidden ones are left out."""
    if path.is_file():
        return {path.name: file_digest(path)}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = {str(file.relative_to(path)): file for file in files}
    return {
        name: file_digest(file)
        for name, file in names.items()
        if not any(part.startswith(".") for part in Path(name).parts)
    }


def _compare(path: Path, artifact: Artifact, root: str) -> tuple[Note, ...]:
    """Compares files with their record.

    Args:
        path: The folder, or one file in it.
        artifact: Its record, of paths relative to `root`.
        root: Folder that the record is about.
    """
    recorded = _recorded(artifact)
    verb = "judged" if artifact.properties.get(JUDGED) else "recorded"
    if not recorded:
        return (Note(WARNING, f"no hash was recorded for the files of {root}"),)
    notes = []
    wanted = recorded
    if path.is_file():
        name = os.path.relpath(path, root)
        if name not in recorded:
            return (Note(WARNING, f"no hash was recorded for {path}"),)
        wanted = {name: recorded[name]}
    for name, digest in sorted(wanted.items()):
        file = Path(root, name)
        if not file.is_file():
            notes.append(Note(TAMPERED, f"{file} is missing"))
        elif (now := file_digest(file)) != digest:
            notes.append(
                Note(TAMPERED, f"{file} was changed: its SHA-256 is {now[:12]}…, {verb} was {digest[:12]}…")
            )
    if path.is_dir() and str(path) == root:
        added = sorted(set(_hashes(path)) - set(recorded)) if _is_push(recorded) else []
        notes += [Note(TAMPERED, f"{path / name} was added: it is not in the record") for name in added]
    if notes:
        return tuple(notes)
    count = len(wanted)
    return (Note(OK, f"{count} file{'s' if count != 1 else ''} of {root} as {verb} (SHA-256)"),)


def _state_of_push(artifact: Artifact) -> tuple[Note, ...]:
    """Whether a pushed version is still as recorded; nothing for other artifacts."""
    destination = artifact.properties.get("pushed_destination")
    if not destination:
        return ()
    if not os.path.isdir(destination):
        return (Note(WARNING, f"{destination} no longer exists"),)
    return _compare(Path(destination), artifact, destination)


def _is_push(recorded: dict[str, str]) -> bool:
    """Whether a record is of a pushed folder, which has nothing but the model; an artifact's has logs."""
    return not any(name.startswith("Format-") for name in recorded)
