"""A config file: read, with `--set`s applied, and validated."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from pipeline.config import config_paths, explanation, overrides, several_targets, yaml_tree
from pipeline.config.config import Config
from pipeline.config.problem import ConfigError, Location, Problem
from pipeline.config.yaml_text import Mapping

_MOST_SHOWN = 50  # problems of one config


@dataclass(frozen=True)
class ConfigFile:
    """A config and the text that it came from.

    Attributes:
        path: The file.
        config: Its content, validated.
        tree: Its content, with overrides applied; knows the lines.
        overrides: Where a `--set` wrote → its `key=value`.
        places: Where the config has something → where the content has it, if that is not the same: for one of several
            targets.
    """

    path: Path
    config: Config
    tree: Mapping
    overrides: dict[Location, str] = field(default_factory=dict)
    places: dict[Location, Location] = field(default_factory=dict)

    def problem(self, location: Location, message: str) -> Problem:
        """A mistake at a location of this file."""
        return self.located([Problem(message, location)])[0]

    def each_target(self) -> dict[str, ConfigFile]:
        """Kind → the file with the config for it, if it names several targets; else none. Targets that can run none
        of the candidates are left out."""
        found = several_targets.each(self.config)
        return {
            kind: dataclasses.replace(self, config=one.config, places=one.places)
            for kind, one in found.items()
            if one.config.candidates
        }

    def on(self, kind: object) -> ConfigFile:
        """The file with the config for one of its targets.

        Raises:
            ConfigError: If it does not name that.
        """
        files = self.each_target()
        if kind not in files:
            raise ConfigError([self.problem(("target",), f"is not one of targets: {', '.join(files)}")])
        return files[str(kind)]

    def located(self, problems: Iterable[Problem]) -> list[Problem]:
        """Problems with the file and line, or the `--set`, that they are in."""
        return [
            _located(self._placed(problem), self.tree, self.path, self.overrides) for problem in problems
        ]

    def _placed(self, problem: Problem) -> Problem:
        for length in range(len(problem.location), 0, -1):
            at = self.places.get(problem.location[:length])
            if at is not None:
                return dataclasses.replace(problem, location=(*at, *problem.location[length:]))
        return problem


def load(path: str | Path, sets: Sequence[str] = ()) -> ConfigFile:
    """Reads and validates a config.

    Relative paths in it are resolved; see `config_paths`.

    Args:
        path: The YAML file.
        sets: `key=value` texts; keys are dotted (`gate.size.max_ratio`, `candidates.int8.0…`), values are YAML.

    Raises:
        ConfigError: With one problem for each mistake.
    """
    path = Path(path)
    tree = yaml_tree.read(path)
    written: dict[Location, str] = {}
    for override in sets:
        at = overrides.apply(tree, override, str(path))
        written = {place: text for place, text in written.items() if place[: len(at)] != at}
        written[at] = override
    try:
        values, problems = yaml_tree.plain(tree)
    except ConfigError as error:
        raise ConfigError([_located(problem, tree, path, written) for problem in error.problems]) from None
    config_paths.resolve(values, path, written)
    # `--set target=web` means one of the targets of the file.
    chosen = values.pop("target") if ("target",) in written and values.get("targets") else None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += explanation.explain(error.errors(include_url=False), tree)
    else:
        problems += several_targets.problems(config)
    if problems:
        # The alternatives of a value each report the same mistake; the first one explains it best.
        first = {problem.location: problem for problem in reversed(problems)}
        ordered = [problem for problem in problems if first[problem.location] is problem]
        found = [_located(problem, tree, path, written) for problem in ordered[:_MOST_SHOWN]]
        if len(ordered) > _MOST_SHOWN:
            found.append(
                Problem(f"has more problems than these {_MOST_SHOWN}; fix them first", (), str(path))
            )
        raise ConfigError(found)
    file = ConfigFile(path, config, tree, written)
    return file if chosen is None else file.on(chosen)


def _located(problem: Problem, tree: Mapping, path: Path, written: dict[Location, str]) -> Problem:
    for length in range(len(problem.location), 0, -1):
        override = written.get(problem.location[:length])
        if override is not None:
            return dataclasses.replace(problem, file=overrides.place_of(override))
    return dataclasses.replace(problem, file=str(path), line=yaml_tree.line_of(tree, problem.location))
