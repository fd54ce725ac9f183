"""TFX's Pusher, whose versions appear whole or not at all."""

from __future__ import annotations

import os
import time
from typing import Any

from tfx.components.pusher import executor as tfx_executor
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.utils import io_utils, proto_utils

from components.common.base import file_hashes
from components.pusher import version_folder


def push(model: str, directory: str) -> str:
    """Pushes a model as a new version.

    Args:
        model: Folder with its files.
        directory: The push directory: a path, or the URL of a store that TensorFlow writes to. A store has
            no folders to be renamed; there, saved_model.pb, which servers wait for, is copied last.

    Returns:
        The version's folder.
    """
    if "://" not in directory:
        return str(version_folder.push(model, directory))
    names = fileio.listdir(directory) if fileio.exists(directory) else []
    version = version_folder.next_version((name.rstrip("/") for name in names), time.time())
    destination = os.path.join(directory, str(version))
    io_utils.copy_dir(model, destination, deny_regex_patterns=[r"saved_model\.pb"])
    last = os.path.join(model, "saved_model.pb")
    if fileio.exists(last):
        io_utils.copy_file(last, os.path.join(destination, "saved_model.pb"))
    return destination


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
            input_dict: `model` (Model) and `model_blessing` (ModelBlessing).
            output_dict: `pushed_model` (PushedModel), a copy of what was pushed; its custom properties say
                whether it was (`pushed`), where to (`pushed_destination`, `pushed_version`), and the SHA-256
                of each file (`files`).
            exec_properties: `push_destination` (JSON of tfx.proto.PushDestination).
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties["push_destination"], destination)
        model = self.GetModelPath(input_dict)
        # First, so that nothing can fail any more once the version is there.
        io_utils.copy_dir(model, pushed.uri)
        digests = file_hashes.digests(pushed.uri)
        pushed.set_string_custom_property(file_hashes.FILES, file_hashes.as_property(digests))
        version = push(model, destination.filesystem.base_directory)
        self._MarkPushed(pushed, pushed_destination=version, pushed_version=os.path.basename(version))
