"""Options that several commands have."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.base import since

_JSON = f"{__name__}.json"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

_Command = TypeVar("_Command", bound=Callable[..., Any])


def wants_json(context: click.Context) -> bool:
    """Whether the command that was called prints JSON; its errors are JSON then, too."""
    return bool(context.meta.get(_JSON))


def _remember_json(context: click.Context, option: click.Parameter, value: bool) -> bool:
    context.meta[_JSON] = value
    return value


def remember_format(context: click.Context, option: click.Parameter, value: str) -> str:
    """Callback of an option `--format` that has the choice `json`."""
    context.meta[_JSON] = value == "json"
    return value


config = click.argument("config", type=click.Path(path_type=Path))
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the config, e.g. --set gate.size.max_ratio=0.5 or --set "
    "candidates.int8.0.convert.io=float32. Can be repeated.",
)
only = click.option(
    "--only",
    multiple=True,
    metavar="CANDIDATE",
    help="Build only this candidate. Can be repeated.",
)
strict = click.option(
    "--strict",
    is_flag=True,
    help="Refuse candidates whose predicted size misses a limit of the gate. Without it, this is a warning.",
)
as_json = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,
    callback=_remember_json,
    help="Print JSON for scripts.",
)


def in_store(command: _Command) -> _Command:
    """Adds the options that say which metadata stores a command reads."""
    named = click.option(
        "--config",
        metavar="NAME|FILE",
        help="Only this pipeline: its name, or its YAML file, whose store is then read.",
    )
    url = click.option(
        "--metadata",
        metavar="URL",
        envvar="PAREDOWN_METADATA",
        help="Metadata store: a URL as in run.metadata, or an SQLite file.  "
        "[env: PAREDOWN_METADATA; default: all of .paredown/*/metadata.sqlite]",
    )
    return named(url(command))


def moment(context: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """Callback of an option that takes a point in time."""
    try:
        return since.parse(text) if text else None
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None


def seconds(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """Callback of an option that takes a time: `90`, `30m`, `2h`, `1d`."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if not match or not float(match[1]):
        raise click.BadParameter(f"{text!r} is not a time; write e.g. 90s, 30m or 12h", context, option)
    return float(match[1]) * _UNITS[match[2]]
