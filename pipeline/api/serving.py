"""Serving what was pushed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from components.common.base.errors import ParedownError
from components.common.serving import server
from components.common.serving.server import Listening, ServerOptions
from components.common.serving.versions import Model


class ServeError(ParedownError):
    """The folder to serve is not a folder of versions."""


def serve(
    folders: Sequence[Path],
    options: ServerOptions,
    on_ready: Callable[[Listening, Sequence[Model]], None],
    name: str | None = None,
    keep: int = 1,
    saved_model: bool = False,
) -> None:
    """Serves models until SIGTERM or SIGINT: `paredown serve`.

    Args:
        folders: Push directories. Each is a model; its versions may come and go.
        options: Options of the server.
        on_ready: Called with the addresses and the models once the server listens.
        name: Name of the model, if there is one folder; None takes the folder's name.
        keep: Number of the newest versions that are served.
        saved_model: Whether the SavedModel of each version is served, even if it also has a TFLite file.

    Raises:
        ServeError: If a folder is missing or is not one of versions, or two models have the same name.
        AddressError: If the server cannot listen.
    """
    names = [_name(folder) for folder in folders]
    if name is not None:
        if len(folders) > 1:
            raise ServeError(
                "--name is for one folder; leave it out, and each model has the name of its folder"
            )
        names = [name]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise ServeError(
            f"two folders are called {twice!r}, and a model has the name of its folder; serve one of them"
        )
    models = [
        Model(each, folder, keep, options.threads, saved_model)
        for each, folder in zip(names, folders, strict=True)
    ]
    server.run(models, options, lambda listening: on_ready(listening, models))


def _name(folder: Path) -> str:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise ServeError(
            f"{folder} cannot be served: {error.strerror or error}; write the folder that push.directory names"
        ) from None
    if {"tflite", "saved_model.pb"} & set(names):
        parent = folder.resolve().parent
        raise ServeError(
            f"{folder} is a model; write the folder of its versions ({parent}), whose folders are numbers"
        )
    return folder.resolve().name
