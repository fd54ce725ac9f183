"""TFX's Pusher, whose versions appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from tfx.components.pusher import executor as tfx_executor
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.utils import io_utils, proto_utils

from components.common.base import file_hashes
from components.common.base.errors import ParedownError
from components.common.base.npu_options import Npu
from components.pusher import beside, version_folder

_DATA = ("examples", "schema", "transform_graph")


def push(model: str, directory: str, judged: Mapping[str, str]) -> str:
    """Pushes a model as a new version.

    Args:
        model: Folder with its files.
        directory: The push directory: a path, or the URL of a store that TensorFlow writes to. A store has
            no folders to be renamed; there, saved_model.pb, which servers wait for, is copied last.
        judged: Path of each file, relative to the folder → SHA-256.

    Returns:
        The version's folder.

    Raises:
        ChangedFile: If a file is not the one that was judged, here or in the copy; nothing is pushed then.
    """
    if "://" not in directory:
        return str(version_folder.push(model, directory, judged))
    file_hashes.refuse_change(model, judged, file_hashes.digests(model), version_folder.NOT_JUDGED)
    names = fileio.listdir(directory) if fileio.exists(directory) else []
    version = version_folder.next_version((name.rstrip("/") for name in names), time.time())
    destination = os.path.join(directory, str(version))
    io_utils.copy_dir(model, destination, deny_regex_patterns=[r"saved_model\.pb"])
    last = os.path.join(model, "saved_model.pb")
    if fileio.exists(last):
        io_utils.copy_file(last, os.path.join(destination, "saved_model.pb"))
    copied = {name: _remote_digest(f"{destination}/{name}") for name in judged}
    try:
        file_hashes.refuse_change(destination, judged, copied, version_folder.NOT_JUDGED)
    except file_hashes.ChangedFile:
        fileio.rmtree(destination)
        raise
    return destination


def _remote_digest(path: str) -> str:
    with fileio.open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def judged_files(model: Any) -> dict[str, str]:
    """Path of each file to push, relative to its folder → SHA-256, as the Evaluator judged it.

    Raises:
        NotJudgedError: If the model does not say which files were judged.
    """
    judged = file_hashes.from_property(model.get_string_custom_property(file_hashes.JUDGED))
    if not judged:
        raise NotJudgedError(
            f"{model.uri} does not say which files were judged; run again with this version of Paredown"
        )
    serving = f"{file_hashes.MODEL_FOLDERS[0]}/"
    return {name.removeprefix(serving): sha for name, sha in judged.items() if name.startswith(serving)}


class NotJudgedError(ParedownError):
    """It is not known which files of a model were judged."""


class Executor(tfx_executor.Executor):
    """Pushes what is blessed, as TFX's own executor; that one copies into the version's folder itself.

    Killed meanwhile, it would leave half a version with the highest number, and of two pushes in one second
    it skips the second.
    """

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model, or says that it did not.

        Args:
            input_dict: `model` (Model) and `model_blessing` (ModelBlessing); if a function reads examples, also
                `examples` (Examples), `schema` (Schema) and, if they went through Transform, `transform_graph`
                (TransformGraph).
            output_dict: `pushed_model` (PushedModel), a copy of what was pushed; its custom properties say
                whether it was (`pushed`), where to (`pushed_destination`, `pushed_version`), and the SHA-256
                of each file (`files`) and of those that were judged (`judged`), which are the same, and the figures of
                functions.
            exec_properties: `push_destination` (JSON of tfx.proto.PushDestination), `custom_config` (JSON): dotted
                paths of `functions` that write files beside the model, if there are any, with their `options`,
                those that read examples with label and label options as `data`, and the `npu` that it is compiled
                for, if there is one.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties["push_destination"], destination)
        model = self.GetModelPath(input_dict)
        judged = judged_files(artifact_utils.get_single_instance(input_dict["model"]))
        asked = json.loads(exec_properties.get("custom_config") or "{}")
        functions, npu = asked.get("functions", []), Npu.of_parameter(asked.get("npu"))
        if not functions and npu is None:
            self._push(model, judged, pushed, destination)
            return
        folders = {
            key: artifact_utils.get_single_uri(input_dict[key]) for key in _DATA if input_dict.get(key)
        }
        data = {path: {**label, **folders} for path, label in asked.get("data", {}).items()}
        with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
            figures: dict[str, float | str] = {}
            judged = beside.add(model, judged, functions, folder, npu, asked.get("options"), data, figures)
            self._push(folder, judged, pushed, destination)
        for name, value in figures.items():
            if isinstance(value, str):
                pushed.set_string_custom_property(name, value)
            else:
                pushed.set_float_custom_property(name, value)

    def _push(self, model: str, judged: Mapping[str, str], pushed: Any, destination: Any) -> None:
        # First, so that nothing can fail after the version is there.
        io_utils.copy_dir(model, pushed.uri)
        digests = file_hashes.digests(pushed.uri)
        file_hashes.refuse_change(model, judged, digests, version_folder.NOT_JUDGED)
        pushed.set_string_custom_property(file_hashes.FILES, file_hashes.as_property(digests))
        pushed.set_string_custom_property(file_hashes.JUDGED, file_hashes.as_property(judged))
        version = push(model, destination.filesystem.base_directory, judged)
        self._MarkPushed(pushed, pushed_destination=version, pushed_version=os.path.basename(version))
