"""What can be said about a config before it runs: its files, model module, metric and folders.

Imports neither TensorFlow nor TFX, and executes nothing of the user's: the model module is parsed,
not imported.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from components.common.base.near_names import closest, nearest
from components.distiller.params import DistillOptions
from components.evaluator.params import AccuracyGate
from pipeline.checks import (
    distribution_checks,
    gate_figures,
    import_checks,
    pretrained_checks,
    tfma_metrics,
)
from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import Location, Problem
from pipeline.plan import data_files, image_folders
from pipeline.plan.data_files import HASHED_SPLIT, split_files
from pipeline.plan.model_source import Function, Names, find_module, names_of, takes
from pipeline.plan.spans import SpanError

_LISTED = 6  # names in a message
_LOOKED_AT = 1000  # files of a folder that a message chooses from
_OWN_PACKAGES = ("components", "pipeline")
_QUICK_TO_READ = 32 * 2**20  # bytes of a database that is read in a tenth of a second or so

_Mistakes = Iterator[tuple[Location, str]]


def check(file: ConfigFile) -> list[Problem]:
    """Everything that can be wrong with a valid config, short of what TensorFlow has to say.

    Nothing is left behind: folders are tried with an unnamed temporary file, and the metadata store
    is opened read-only.

    Returns:
        One problem for each mistake, in the order of the file's sections.
    """
    return [
        file.problem(location, message)
        for section in (_data, _model, _pretrained, _distribution, _metrics, _folders, _metadata)
        for location, message in section(file)
    ]


def _data(file: ConfigFile) -> _Mistakes:
    data = file.config.data
    folder = Path(data.path)
    if _special(folder):
        yield ("data", "path"), _special(folder)
        return
    if not os.path.isdir(folder):
        yield ("data", "path"), _no_folder(data.path)
        return
    present = _files_below(folder)
    if not present:
        yield ("data", "path"), f"{data.path} holds no files; write the folder of the examples"
        return
    try:
        patterns = data_files.patterns(data)
    except SpanError as error:
        at = ("data", "range") if error.split is None else _pattern(error.split)
        yield at, str(error)
        return
    found: dict[str, list[Path]] = {}
    for split, pattern in patterns.items():
        at = _pattern(split)
        try:
            found[split] = split_files(folder, pattern)
        except ValueError as error:
            yield at, f"{pattern!r} {error}"
            continue
        empty = [path for path in found[split] if not path.stat().st_size]
        broken = data_files.broken_links(folder, pattern)
        if broken:
            names = _listed(_relative(broken, folder))
            yield at, f"{pattern!r} matches links to files that are not there: {names}; remove or mend them"
        if not found[split]:
            yield (
                at,
                f"{pattern!r} matches no file in {data.path}, which holds {_listed(present)}; write "
                f"a pattern that matches the {'' if split == HASHED_SPLIT else f'{split} '}files",
            )
        elif empty:
            names = _listed(_relative(empty, folder))
            yield at, f"{pattern!r} matches files of 0 bytes: {names}; remove or replace them"
    shared = sorted(set(found.get("train", [])) & set(found.get("eval", [])))
    if shared:
        yield (
            ("data", "splits", "eval"),
            f"{data.splits.eval!r} and {data.splits.train!r}, the train split, both match "
            f"{_listed(_relative(shared, folder))}; accuracy on trained examples says nothing, so "
            "narrow one of the patterns",
        )
    if data.format == "images":
        yield from image_folders.check(data, patterns, {s: paths for s, paths in found.items() if paths})


def _pattern(split: str) -> Location:
    return ("data", "splits", data_files.option_of(split))


def _no_folder(path: str) -> str:
    if os.path.exists(path):
        return f"{path} is a file; write the folder that holds it"
    missing = Path(path)
    while not os.path.isdir(missing.parent):
        missing = missing.parent
    beside = itertools.islice(missing.parent.glob("*"), _LOOKED_AT)
    meant = closest(missing.name, [p.name for p in beside if os.path.isdir(p)])
    fix = f"did you mean {str(missing.with_name(meant))!r}?" if meant else "write an existing one"
    return f"there is no folder {path}; {fix}"


def _files_below(folder: Path) -> list[str]:
    names = (
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, files in os.walk(folder)
        for name in sorted(files)
    )
    return sorted(itertools.islice(names, _LOOKED_AT))


def _relative(paths: Iterable[Path], folder: Path) -> list[str]:
    return [os.path.relpath(path, folder) for path in paths]


def _listed(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _model(file: ConfigFile) -> _Mistakes:
    name, imported = file.config.model.module, file.config.model.imported
    if name is not None:
        yield from _module(file, name)
    if imported is not None:
        yield from import_checks.check(file.config, _functions(name, file.path))


def _functions(module: str | None, config_path: Path) -> Iterable[str] | None:
    """What the model module defines; None where there is none, or that cannot be told."""
    path = find_module(module, config_path) if module else None
    try:
        names = names_of(path) if path else Names(complete=False)
    except (OSError, SyntaxError, ValueError):  # a mistake of the module's own
        return None
    return names.bound if names.complete else None


def _module(file: ConfigFile, name: str) -> _Mistakes:
    at = ("model", "module")
    if name.partition(".")[0] in _OWN_PACKAGES:
        yield (
            at,
            f"{name!r} would be looked for in Paredown's own package of that name; call the file or folder "
            "something else, e.g. model.py",
        )
        return
    path = find_module(name, file.path)
    if path is None:
        yield at, _no_module(name, file.path)
        return
    shown = _shown(path)
    try:
        names = names_of(path)
    except OSError as error:
        yield at, f"{shown} cannot be read: {error.strerror}"
        return
    except (SyntaxError, ValueError) as error:  # ValueError: the file holds null bytes
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        yield at, f"{shown}{line} is not Python: {getattr(error, 'msg', error)}"
        return
    imported, pretrained = file.config.model.imported, file.config.model.pretrained
    whole = imported is not None and imported.weights is None
    if (whole and "build_model" not in names.bound) or (pretrained and pretrained.head):
        fault = None
    else:
        arguments = ("hparams", "pretrained") if pretrained else ("hparams",)
        fault = _fault_of("build_model", names, shown, arguments)
    if fault:
        yield at, fault
    checked = {"build_model"}
    for location, function in _students(file):
        fault = None if function in checked else _fault_of(function, names, shown)
        checked.add(function)  # the same name is the same mistake wherever it stands
        if fault:
            yield location, fault


def _distribution(file: ConfigFile) -> _Mistakes:
    yield from distribution_checks.check(file.config)


def _pretrained(file: ConfigFile) -> _Mistakes:
    yield from pretrained_checks.mistakes(file.config.model.pretrained)
    yield from pretrained_checks.undivided(file.config)


def _no_module(name: str, config_path: Path) -> str:
    beside = config_path.absolute().parent
    package = name.split(".")[:-1]
    known = {
        ".".join([*package, path.stem])
        for root in (Path.cwd(), beside)
        for path in root.joinpath(*package).glob("*.py")
    }
    if beside.is_relative_to(Path.cwd()):
        parents = beside.relative_to(Path.cwd()).parts
        known |= {".".join([*parents, path.stem]) for path in beside.glob("*.py")}
    file = f"{name.replace('.', '/')}.py"
    return (
        f"there is no {file} in {Path.cwd()}, beside the config or on sys.path"
        f"{nearest(name, known) or '; write the module as Python imports it'}"
    )


def _students(file: ConfigFile) -> Iterator[tuple[Location, str]]:
    for candidate, chain in file.config.candidates.items():
        for index, step in enumerate(chain.steps()):
            if isinstance(step, DistillOptions):
                location = ("candidates", candidate, index, step.technique, "student")
                yield location, step.student


def _fault_of(
    function: str, names: Names, shown: str, arguments: tuple[str, ...] = ("hparams",)
) -> str | None:
    written = f"`def {function}({', '.join(arguments)})`"
    if function not in names.bound:
        if not names.complete:
            return None
        functions = [
            name
            for name, values in names.bound.items()
            if any(isinstance(value, Function) for value in values)
        ]
        meant = nearest(function, functions) or f"; write {written}"
        return f"{shown} has no function {function!r} at its top level{meant}"
    definitions = [node for node in names.bound[function] if isinstance(node, Function)]
    fits = any(takes(definition, len(arguments)) for definition in definitions)
    if len(definitions) < len(names.bound[function]) or fits:
        return None
    given = "hparams alone" if len(arguments) == 1 else " and ".join(arguments)
    return f"{function} in {shown}:{definitions[-1].lineno} cannot be called with {given}; write {written}"


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _metrics(file: ConfigFile) -> _Mistakes:
    yield from gate_figures.mistakes(file.config)
    known = tfma_metrics.known_metrics()
    if known:
        for at, figure in gate_figures.accuracy_gates(file.config.gate):
            yield from _metric(at, figure, known)


def _metric(at: Location, accuracy: AccuracyGate, known: set[str]) -> _Mistakes:
    if accuracy.metric not in known:
        meant = nearest(accuracy.metric, known) or f"; see {tfma_metrics.DOCUMENTATION}"
        yield (
            (*at, "metric"),
            f"{accuracy.metric!r} is not a metric of TFMA or tf_keras that gives one number{meant}",
        )
        return
    if not accuracy.direction_is_known():
        yield (
            (*at, "metric"),
            f"whether a higher {accuracy.metric} is a better one cannot be told from its name; write "
            "higher_is_better: true or higher_is_better: false beside it",
        )
    takes = tfma_metrics.arguments(accuracy.metric)
    unknown = [name for name in accuracy.config if takes.known and name not in takes.known]
    for name in unknown:
        yield (
            (*at, "config", name),
            f"{accuracy.metric} has no argument {name!r}{nearest(name, takes.known or ())}",
        )
    missing = [name for name in takes.required if name not in accuracy.config]
    if missing and not unknown:  # else the unknown one is likely to be the missing one, misspelt
        yield (
            (*at, "config"),
            f"{accuracy.metric} needs {' and '.join(missing)}; write "
            f"config: {{{', '.join(f'{name}: …' for name in missing)}}}",
        )


def _folders(file: ConfigFile) -> _Mistakes:
    config = file.config
    folders = [
        (("push", "directory"), config.push.directory),
        (("run", "pipeline_root"), config.pipeline_root),
    ]
    if config.run.metadata and config.metadata_path:
        folders.append((("run", "metadata"), os.path.dirname(config.metadata_path)))
    for location, folder in folders:
        why = _special(Path(folder)) or _unwritable(Path(folder).absolute())
        if why:
            yield location, f"{folder or '.'} cannot be written: {why}; name a folder that can be"


def _special(folder: Path) -> str | None:
    """Why TFX could not find files below a folder, which it looks for by patterns."""
    found = sorted(set("*?[]") & set(str(folder.absolute())))
    if not found:
        return None
    return f"{folder.absolute()} has {' '.join(found)} in its name, which TFX takes for a pattern"


def _unwritable(folder: Path) -> str | None:
    """Why files cannot be made in a folder, which itself may not be there yet."""
    while not os.path.lexists(folder):
        folder = folder.parent
    if not os.path.isdir(folder):
        return f"{_shown(folder)} is {'a broken link' if folder.is_symlink() else 'a file'}"
    try:
        # os.access would say yes to root where the file system says no.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{_shown(folder)}: {error.strerror}"
    return None


def _metadata(file: ConfigFile) -> _Mistakes:
    if file.config.metadata_path is None:  # on a server, which is asked when it is needed
        return
    path = Path(file.config.metadata_path).absolute()
    if not os.path.lexists(path):
        return
    why = _no_store(path)
    if why:
        yield (
            ("run", "metadata"),
            f"{_shown(path)} {why}; move it away, or name another with run.metadata: sqlite:///…",
        )


def _no_store(path: Path) -> str | None:
    """Why a file cannot be the metadata store."""
    if not os.path.isfile(path):
        return "is not a file"
    if not os.access(path, os.R_OK | os.W_OK):
        return "cannot be read and written"
    # Reading a database in WAL mode would make two files beside it, were it not taken as immutable.
    immutable = "&immutable=1" if _in_wal_mode(path) else ""
    uri = f"{path.as_uri()}?mode=ro{immutable}"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=0.1)) as store:
            tables = {row[0] for row in store.execute("SELECT name FROM sqlite_master")}
            if tables and "MLMDEnv" not in tables:
                return "is an SQLite database, but not an ML Metadata store"
            if tables:
                store.execute("SELECT schema_version FROM MLMDEnv").fetchall()
            if path.stat().st_size <= _QUICK_TO_READ:
                found = store.execute("PRAGMA quick_check(1)").fetchone()[0]
                return None if found == "ok" else f"is damaged ({' '.join(found.split())})"
    except sqlite3.OperationalError as error:
        # A run that is writing has it locked; one that was killed left a journal, which only a
        # writer can roll back. The next run does.
        in_use = "locked" in str(error) or path.with_name(f"{path.name}-journal").exists()
        return None if in_use else f"cannot be opened: {error}"
    except sqlite3.DatabaseError as error:
        return f"is damaged ({error})"
    return None


def _in_wal_mode(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(20)[18:20] == b"\2\2"
