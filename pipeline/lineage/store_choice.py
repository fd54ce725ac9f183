"""The metadata stores that a command reads, and the runs in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from components.common.base.errors import ParedownError
from pipeline.lineage.target import LATEST, Target, TargetError, find_by_name, resolve
from pipeline.store.connection import exists
from pipeline.store.reader import Reader
from pipeline.store.records import Run


class ChoiceError(ParedownError):
    """There is no store to read."""


@dataclass(frozen=True)
class Choice:
    """Stores, and perhaps one pipeline in them.

    Attributes:
        urls: As `run.metadata` has them.
        pipeline: The only pipeline that is meant; None for all.
    """

    urls: tuple[str, ...]
    pipeline: str | None = None

    def stores(self) -> Iterator[tuple[str, Reader]]:
        """URL and reader of each store."""
        for url in self.urls:
            yield url, Reader.open(url)


def choose(metadata: str | None, config: str | None) -> Choice:
    """Chooses stores.

    Args:
        metadata: URL of the store, or path of an SQLite file; None to look for stores: those that the
            config names, else those of all pipelines that ran in the working directory.
        config: A config's file, or the name of a pipeline.

    Raises:
        ChoiceError: If there is none; the text says where it was searched for, and what to write.
        ConfigError: If the config is not valid.
    """
    from pipeline.config import metadata_url

    pipeline, of_config = _of_config(config)
    if metadata:
        url = metadata if ":" in metadata else f"sqlite:///{metadata}"
        try:
            parsed = metadata_url.parse(url)
        except ValueError as error:
            raise ChoiceError(f"--metadata: {error}") from None
        if not exists(url):
            raise ChoiceError(f"--metadata: {parsed.path} does not exist, or is empty")
        return Choice((url,), pipeline)
    if of_config is not None:
        if not exists(of_config):
            raise ChoiceError(f"{config} has not been run here yet; {of_config} does not exist")
        return Choice((of_config,), pipeline)
    found = sorted(Path(".paredown").glob("*/metadata.sqlite"))
    urls = tuple(f"sqlite:///{path}" for path in found if path.stat().st_size)
    if not urls:
        raise ChoiceError(
            f"no metadata store was found below {Path('.paredown').absolute()}; run a pipeline in this folder "
            "first, or name its store with --metadata, or its config with --config"
        )
    return Choice(urls, pipeline)


def _of_config(config: str | None) -> tuple[str | None, str | None]:
    """Pipeline and store that `--config` means."""
    if not config:
        return None, None
    if not os.path.exists(config) and not config.endswith((".yaml", ".yml")):
        return config, None
    from pipeline.config.config_file import load

    loaded = load(Path(config), []).config
    return loaded.name, loaded.metadata_url


def list_all(
    choice: Choice, status: str | None = None, since: datetime | None = None, limit: int | None = None
) -> list[Run]:
    """Runs of all stores, newest first.

    Args:
        choice: The stores.
        status: Only runs with this one.
        since: Only runs that began then or later.
        limit: The newest, this many; all if it is None.

    Raises:
        StoreError: If a store cannot be opened.
    """
    found = [
        run for _, reader in choice.stores() for run in reader.runs(choice.pipeline, status, since, limit)
    ]
    return sorted(found, key=lambda run: run.started, reverse=True)[:limit]


def find_target(choice: Choice, text: str) -> tuple[str, Reader, Target]:
    """The store that knows a target, and the target.

    Returns:
        The store's URL, its reader, the target.

    Raises:
        TargetError: If no store knows it.
        StoreError: If a store cannot be opened.
    """
    if text == LATEST:
        url, reader, run = find_run(choice, text)
        return url, reader, resolve(reader, run.id)
    failures = []
    for url, reader in choice.stores():
        try:
            return url, reader, resolve(reader, text)
        except TargetError as error:
            failures.append((url, error))
    raise _sum_up(failures)


def find_run(choice: Choice, text: str) -> tuple[str, Reader, Run]:
    """The run of an id, of the beginning of one, or the newest of all stores for `latest`.

    Returns:
        The store's URL, its reader, the run.

    Raises:
        TargetError: If no store knows it.
        StoreError: If a store cannot be opened.
    """
    failures, found = [], []
    for url, reader in choice.stores():
        try:
            if text == LATEST:
                found += [(url, reader, run) for run in reader.runs(choice.pipeline, limit=1)]
            else:
                return url, reader, find_by_name(reader, text)
        except TargetError as error:
            failures.append((url, error))
    if found:
        return max(found, key=lambda one: one[2].started)
    if text == LATEST:
        which = f" of {choice.pipeline}" if choice.pipeline else ""
        raise TargetError(f"there is no run{which} in {', '.join(choice.urls)} yet")
    raise _sum_up(failures)


def _sum_up(failures: list[tuple[str, TargetError]]) -> TargetError:
    if len({str(error) for _, error in failures}) == 1:
        return failures[0][1]
    return TargetError("; ".join(f"{url}: {error}" for url, error in failures))
