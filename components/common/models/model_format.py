"""The content of a model's file, found without TensorFlow, and its SHA-256.

Formats of Keras are described in https://www.tensorflow.org/guide/keras/save_and_serialize, the SavedModel in
https://www.tensorflow.org/guide/saved_model.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.common.base import file_hashes, size_bounds
from components.common.models import keras_3_format, named_code, operator_faults
from components.common.models.model_format_error import ModelFormatError as ModelFormatError
from components.common.models.named_code import NamedCode

KERAS = "keras"  # .keras, a zip archive
HDF5 = "h5"
KERAS_SAVED_MODEL = "keras_saved_model"  # with Keras's layers beside the graph
SAVED_MODEL = "saved_model"
WEIGHTS = "weights"  # HDF5 without architecture
CHECKPOINT = "checkpoint"

WITH_LAYERS = frozenset({KERAS, HDF5, KERAS_SAVED_MODEL})
WEIGHTS_ALONE = frozenset({WEIGHTS, CHECKPOINT})

_HDF5_START = b"\x89HDF\r\n\x1a\n"
_LFS_START = b"version https://git-lfs"
# Bytes of JSON that a Keras file may hold; that of EfficientNetB7 has one million.
_LARGEST_CONFIG = 16 * size_bounds.MEGABYTE
_OTHER_SAVED_MODELS = ("saved_model.pbtxt", "saved_model.cpb")
_ACCEPTED = (
    "a Keras file (.keras, or .h5 of tf_keras), the folder of a SavedModel, or weights with a module that has "
    "build_model"
)
_KERAS_3 = (
    "is an HDF5 file that was saved by Keras {version}. In the environment that made it, write "
    "model.save('model.keras') and import that file"
)

NOT_COMPILED = (
    "was saved without loss and optimizer, which learning from labels needs; write loss under model, or teacher: self "
    "in the step"
)


@dataclass(frozen=True)
class ModelFormat:
    """The kind of a model's file or folder.

    Attributes:
        kind: One of this module's constants.
        root: What names in the digest are relative to.
        files: All the files that it consists of, sorted.
        executes: What runs code that is in the file, or that it chooses, when it is loaded, such as "a Lambda
            layer"; see `NamedCode`.
        compiled: Whether it says loss and optimizer; None if that is not known before it is loaded.
        foreign: Names of classes and functions in it that are not Keras's own, as far as the file says.
        forbidden: Operators in a SavedModel's graph that are not to run, such as "ReadFile".
        keras_3: Whether it is of Keras 3, so that it has to be converted when it is loaded.
        unrepeatable: Signature → why it does not predict the same again; of a file without signatures, the key is "".
    """

    kind: str
    root: Path
    files: tuple[Path, ...]
    executes: tuple[str, ...] = ()
    compiled: bool | None = None
    foreign: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    keras_3: bool = False
    unrepeatable: Mapping[str, str] = field(default_factory=dict)


def recognise(path: str | os.PathLike[str]) -> ModelFormat:
    """Finds out what a path holds, by content and not by name.

    Args:
        path: A file, the folder of a SavedModel, or the prefix of a checkpoint's files.

    Raises:
        ModelFormatError: If that is not a model, is damaged, or was saved by Keras 3 and cannot be converted.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path)
        if path.is_file():
            return _file(path)
        return _checkpoint(path)
    except OSError as error:
        raise ModelFormatError(f"cannot be read: {error.strerror or error}") from error


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a model's content.

    Of a single file it is the file's own. Of several it is that of the lines which `sha256sum` prints for them,
    in the order of their names: `LC_ALL=C; sha256sum $(find * -type f | sort) | sha256sum` in a SavedModel's
    folder.

    Raises:
        ModelFormatError: As `recognise`.
    """
    found = recognise(path)
    if found.kind in (KERAS, HDF5, WEIGHTS):
        return file_hashes.digest(found.files[0])
    named = {file.relative_to(found.root).as_posix(): file for file in found.files}
    lines = [f"{file_hashes.digest(named[name])}  {name}\n" for name in sorted(named)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def code_fault(
    found: ModelFormat,
    signature: str | None = None,
    advice: str = "write safe_mode: false if you trust its source",
) -> str | None:
    """Why a model must not be loaded, after its file's name; None if it may.

    Args:
        found: What the file holds.
        signature: If the model is taken by one, its Keras layers are not made.
        advice: What to do.
    """
    if found.forbidden:
        several = len(found.forbidden) > 1
        return (
            f"has the operator{'s' * several} {', '.join(found.forbidden)}, which run{'s' * (not several)} Python or "
            f"read{'s' * (not several)} or write{'s' * (not several)} other files; {advice}"
        )
    if found.executes and signature is None:
        return f"holds {found.executes[0]}: Python code, which loading it runs; {advice}"
    return None


def lacks_code(name: str, found: ModelFormat | None = None) -> str:
    """Why a model of a class or function that nothing defines cannot be used, after its file's name."""
    whole = found is not None and found.kind == KERAS_SAVED_MODEL
    other = ", or write signature: serving_default to take the model as operations" if whole else ""
    return f"has {name!r}, whose code is not in the file; define it in the module that model.module names{other}"


def _folder(folder: Path) -> ModelFormat:
    if not (folder / "saved_model.pb").is_file():
        indexes = sorted(folder.glob("*.index"))
        if len(indexes) == 1:
            return _checkpoint(indexes[0].with_suffix(""))
        if indexes:
            names = ", ".join(index.stem for index in indexes[:6])
            raise ModelFormatError(f"holds several checkpoints; name one of them: {names}")
        raise ModelFormatError(f"is a folder without saved_model.pb; write {_ACCEPTED}")
    files = tuple(sorted(path for path in folder.rglob("*") if path.is_file()))
    if other := next((name for name in _OTHER_SAVED_MODELS if (folder / name).exists()), None):
        raise ModelFormatError(
            f"holds {other} beside saved_model.pb, and only one can be the model; remove one"
        )
    if (folder / "variables").is_dir() and not (folder / "variables" / "variables.index").is_file():
        raise ModelFormatError("is a SavedModel without variables/variables.index; copy the whole folder")
    from components.common.models import saved_model_file  # protobuf, which only SavedModels need

    graph = saved_model_file.read(folder)
    if graph.outside_assets:
        raise ModelFormatError(
            f"has an asset outside its folder, {graph.outside_assets[0]!r}; save it again with tf.saved_model.save"
        )
    metadata = folder / "keras_metadata.pb"
    if not metadata.is_file():
        return ModelFormat(
            SAVED_MODEL, folder, files, forbidden=graph.forbidden, unrepeatable=graph.unrepeatable
        )
    described = saved_model_file.keras_metadata(metadata.read_bytes())
    code = named_code.find(*(named_code.parse(text, "keras_metadata.pb") for _, _, text in described))
    return ModelFormat(
        KERAS_SAVED_MODEL,
        folder,
        files,
        code.executes,
        foreign=code.foreign,
        forbidden=graph.forbidden,
        unrepeatable=graph.unrepeatable,
    )


def _checkpoint(prefix: Path) -> ModelFormat:
    prefix = prefix.with_suffix("") if prefix.suffix == ".index" else prefix
    index = prefix.with_name(f"{prefix.name}.index")
    if not index.is_file():
        beside = sorted(path.name for path in prefix.parent.glob("*")) if prefix.parent.is_dir() else []
        there = f"; {prefix.parent} holds {', '.join(beside[:6])}" if beside else ""
        raise ModelFormatError(f"does not exist{there}")
    data = sorted(prefix.parent.glob(f"{prefix.name}.data-?????-of-?????"))
    if not data or len(data) != int(data[0].name.rpartition("-")[2]):
        raise ModelFormatError(f"is a checkpoint that lacks files {prefix.name}.data-…; copy all of them")
    return ModelFormat(CHECKPOINT, prefix.parent, (*data, index))


def _file(path: Path) -> ModelFormat:
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        raise ModelFormatError("is empty; fetch or save it again")
    if start.startswith(_LFS_START):
        raise ModelFormatError("is a pointer of Git LFS, not the file itself; write git lfs pull")
    if start[4:8] == b"TFL3":
        raise ModelFormatError(
            "is a TFLite file, which is already converted and cannot be changed; write the Keras file or "
            "SavedModel that it was made from"
        )
    if start.startswith(_HDF5_START):
        if zipfile.is_zipfile(
            path
        ):  # by its end: Keras would load the archive, of which nothing is known then
            raise ModelFormatError("is both an HDF5 file and a zip archive; save it again")
        return _hdf5(path)
    if start.startswith(b"PK"):
        return _archive(path)
    if path.name == "saved_model.pb":
        raise ModelFormatError(f"is part of a SavedModel; write its folder, {path.parent}")
    if path.suffix == ".index" or path.name.rpartition(".")[2].startswith("data-"):
        return _checkpoint(path.with_suffix(""))
    if start[:1] == b"\x80" and start[1] in range(2, 6):
        raise ModelFormatError(
            "is a pickle, which can run any code when it is loaded, and is never loaded; write "
            f"{_ACCEPTED}, which model.save writes"
        )
    raise ModelFormatError(f"is not a model; write {_ACCEPTED}")


def _hdf5(path: Path) -> ModelFormat:
    import h5py  # half a second, and NumPy with it, which only such files need

    from components.common.models import hdf5_bounds

    try:
        with h5py.File(path, "r") as file:
            hdf5_bounds.check(file, path.stat().st_size)
            attributes = {name: _text(file.attrs[name]) for name in file.attrs if name in _ATTRIBUTES}
            groups = set(file)
    except hdf5_bounds.DAMAGED as error:
        raise ModelFormatError(f"is a damaged HDF5 file ({error}); fetch or save it again") from error
    if "model_config" in attributes:
        _refuse_keras_3(attributes.get("keras_version", ""))
        parts = [attributes[name] for name in ("model_config", "training_config") if name in attributes]
        parsed = [named_code.parse(part, "model_config") for part in parts]
        code = named_code.find(*parsed)
        return ModelFormat(
            HDF5,
            path.parent,
            (path,),
            code.executes,
            "training_config" in attributes,
            code.foreign,
            unrepeatable=_without_signature(parsed[0]),
        )
    if "layer_names" in attributes or groups & {"layers", "_layer_checkpoint_dependencies"}:
        return ModelFormat(WEIGHTS, path.parent, (path,))
    raise ModelFormatError(f"is an HDF5 file, but not one of Keras; write {_ACCEPTED}")


_ATTRIBUTES = ("model_config", "training_config", "keras_version", "layer_names")


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _archive(path: Path) -> ModelFormat:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if not {"config.json", "metadata.json"} <= names:
                kind = "a PyTorch file" if any(n.endswith("data.pkl") for n in names) else "a zip archive"
                raise ModelFormatError(f"is {kind}, but not a Keras file; write {_ACCEPTED}")
            refuse_bomb(path, archive)
            damaged = archive.testzip()
            if damaged:
                raise ModelFormatError(f"is damaged ({damaged} in it is); fetch or save it again")
            whole = named_code.parse(archive.read("config.json"), "config.json")
            metadata = named_code.parse(archive.read("metadata.json"), "metadata.json")
    except UNZIPPABLE as error:
        raise ModelFormatError(f"is a damaged Keras file ({error}); fetch or save it again") from error
    if not isinstance(whole, dict) or not isinstance(metadata, dict):
        raise ModelFormatError("is a damaged Keras file (its JSON holds no model); fetch or save it again")
    if path.suffix != ".keras":
        raise ModelFormatError(
            f"is a Keras file, which Keras recognizes by its suffix; name it {path.stem}.keras"
        )
    keras_3 = keras_3_format.is_keras_3(str(metadata.get("keras_version", "")))
    if keras_3:
        keras_3_format.refuse_unknown_layers(whole)
    code: NamedCode = named_code.find(keras_3_format.without_own_objects(whole) if keras_3 else whole)
    return ModelFormat(
        KERAS,
        path.parent,
        (path,),
        code.executes,
        bool(whole.get("compile_config")),
        code.foreign,
        keras_3=keras_3,
        unrepeatable=_without_signature(whole.get("config")),
    )


def _without_signature(config: object) -> dict[str, str]:
    why = operator_faults.in_config(config)
    return {"": why} if why else {}


# Exceptions of zipfile for archives that are damaged, encrypted, or compressed by unknown methods.
UNZIPPABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    KeyError,
)


def refuse_bomb(path: Path, archive: zipfile.ZipFile) -> None:
    """Raises a ModelFormatError if an archive's entries are far larger than the archive, before one is unpacked.

    zipfile unpacks no more of an entry than its header says.
    """
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if fault := size_bounds.excess(path.stat().st_size, unpacked):
        raise ModelFormatError(fault)
    for name in ("config.json", "metadata.json"):
        size = archive.getinfo(name).file_size
        if size > _LARGEST_CONFIG:
            raise ModelFormatError(
                f"has {path.stat().st_size:,} bytes, and {name} in it would unpack to {size:,}, more than the "
                f"{_LARGEST_CONFIG:,} that an architecture takes; save it again"
            )


def _refuse_keras_3(version: str) -> None:
    if keras_3_format.is_keras_3(version):
        raise ModelFormatError(_KERAS_3.format(version=version))
