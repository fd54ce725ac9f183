"""The configs of a search's runs. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from components import registry
from pipeline.config.chain import Chain
from pipeline.config.config import Config
from pipeline.config.config_file import ConfigFile
from pipeline.config.data_options import SearchedSplits, Splits
from pipeline.config.problem import ConfigError
from pipeline.config.search_section import Search
from pipeline.plan.node import MACHINE
from pipeline.plan.planner import make_plan
from pipeline.store.search_record import Trial


def searched(config: Config) -> Search:
    """The section of a config that has one."""
    assert config.search is not None
    return config.search


def refuse_without_space(file: ConfigFile) -> None:
    """Raises a ConfigError if a config has no search."""
    if file.config.search is None:
        raise ConfigError(
            [file.problem((), "search is missing: write the space of candidates; see docs/search.md")]
        )


def first_trials(file: ConfigFile) -> list[Trial]:
    """The trials of the first round of a new search. Imports Optuna."""
    from pipeline.search.study import Study

    section = searched(file.config)
    study = Study(None, study_name(file), section, objectives_of(file.config), seed_of(file.config))
    return study.propose(section.proposals)


def objectives_of(config: Config) -> list[str]:
    """The objectives of the search."""
    chosen = config.select.minimize or "accuracy"
    return list(searched(config).objectives) or [chosen]


def seed_of(config: Config) -> int:
    """Seed of the proposals."""
    seed = searched(config).seed
    return config.run.seed if seed is None else seed


def tuning_splits(config: Config) -> Splits:
    """The splits of a round: its `eval` is the tune split, and the config's eval split is in neither."""
    splits, tune = config.data.splits, searched(config).tune
    if splits.pattern is not None:
        return _hashed(config, tuned=True)
    if tune.files is not None:
        return Splits(train=splits.train, eval=tune.files)
    given = {} if tune.hash_by is None else {"hash_by": tune.hash_by}
    return Splits(pattern=splits.train, eval_fraction=tune.fraction, **given)


def _hashed(config: Config, tuned: bool) -> SearchedSplits:
    """The splits of a run if a hash divides the examples."""
    splits, tune = config.data.splits, searched(config).tune
    return SearchedSplits(**splits.model_dump(exclude_unset=True), tune_fraction=tune.fraction, tuned=tuned)


def round_file(file: ConfigFile, trials: Iterable[Trial], epochs: int | None = None) -> ConfigFile:
    """The config of a round: its trials as candidates, judged on the tune split.

    Args:
        file: The config.
        trials: Those of the round.
        epochs: How long steps train, at most; None for as long as they say.
    """
    config = file.config
    space = searched(config).space
    candidates = {trial.name: space.chain(trial.values) for trial in trials}
    if epochs is not None:
        candidates = {trial.name: brief_chain(space.steps(trial.values), epochs) for trial in trials}
    data = config.data.model_copy(update={"splits": tuning_splits(config)})
    return _with(file, config.model_copy(update={"candidates": candidates, "data": data}))


def brief_chain(steps: list[dict[str, Any]], epochs: int) -> Chain:
    """A chain whose steps train briefly, as far as their options allow it.

    Args:
        steps: As a config has them.
        epochs: Of each step that does not say how many steps of the optimizer there are, and does not stop early.
    """
    brief = []
    for step in steps:
        ((name, options),) = step.items()
        known = registry.complete()[name].options.model_fields
        set_by_hand = options.get("steps") is not None or options.get("early_stopping") is not None
        default = known["epochs"].default if "epochs" in known else epochs
        longer = options.get("epochs", default) is None or options.get("epochs", default) > epochs
        brief.append({name: {**options, "epochs": epochs} if longer and not set_by_hand else options})
    try:
        return Chain.model_validate(brief)
    except ValidationError:
        return Chain.model_validate(steps)


def last_file(file: ConfigFile, trials: Iterable[Trial]) -> ConfigFile:
    """The config of the last run: candidates written by hand and the best trials, on the config's own splits."""
    config = file.config
    space = searched(config).space
    candidates = dict(config.candidates)
    written = {chain.canonical() for chain in candidates.values()}
    for trial in trials:
        chain = space.chain(trial.values)
        if chain.canonical() not in written:
            candidates[trial.name] = chain
    changed: dict[str, Any] = {"candidates": candidates}
    if config.data.splits.pattern is not None:
        changed["data"] = config.data.model_copy(update={"splits": _hashed(config, tuned=False)})
    return _with(file, config.model_copy(update=changed))


def study_name(file: ConfigFile, place: str = "") -> str:
    """The name of the study of a config: another one if anything changes that decides about proposals or outcomes.

    Args:
        file: The config.
        place: Key of the place of its runs; empty for this machine.
    """
    config = file.config
    candidates = searched(config).space.ends()
    data = config.data.model_copy(update={"splits": tuning_splits(config)})
    planned = make_plan(config.model_copy(update={"candidates": candidates, "data": data}), file.path)
    section = searched(config).model_dump(mode="json", exclude={"trials", "minutes", "finalists"})
    decisive = {
        "search": section,
        "objectives": objectives_of(config),
        "seed": seed_of(config),
        "nodes": {
            node.id: {name: value for name, value in node.parameters.items() if name != MACHINE}
            for node in planned.unpushed().nodes
        },
        **({"place": place} if place else {}),
    }
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return f"{config.name}-{digest[:8]}"


def _with(file: ConfigFile, config: Config) -> ConfigFile:
    return dataclasses.replace(file, config=config)
