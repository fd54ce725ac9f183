"""What a config may write as `search`, and which chains come of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.checks.checked_config import refuse_without_candidates
from pipeline.config.config import Config
from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from tests.pipeline.search.space import CONFIG, SPACE, config


def problem(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load(path)
    return "\n".join(f"{one.key()}: {one.message}" for one in error.value.problems)


def test_candidates_are_required_without_a_search(tmp_path: Path) -> None:
    assert "candidates: is missing" in problem(tmp_path, CONFIG)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[0.5, 0.9]",
            "[0.9, 0.5]",
            "search.space[1].prune.sparsity: between needs two numbers, the smaller one first",
        ),
        ("[0.5, 0.9]", "[0.5, 1.5]", "search.space[1].prune.sparsity: must be less than 1, but is 1.5"),
        (
            "choose: [8, 16, 32]",
            "choose: [8]",
            "search.space[2].cluster.clusters: choose needs a list of at least two",
        ),
        ("choose: [8, 16, 32]", "choose: [8, 8]", "search.space[2].cluster.clusters: choose lists 8 twice"),
        ("clusters:", "clustrs:", "search.space[2].cluster.clustrs: unknown key; did you mean 'clusters'?"),
        (
            "cluster:",
            "clustr:",
            "search.space[2].clustr: 'clustr' is not a technique; did you mean 'cluster'?",
        ),
        ("int8", "int9", "search.space[4].convert.quantization: 'int9' is not one of"),
        (
            "[0.5, 0.9]",
            "[0.5, 0.9], every: 2",
            "search.space[1].prune.sparsity: has the key 'every' beside between",
        ),
        ("{convert: {quantization: int8}}", "{fine_tune: {}}", "the last step is `fine_tune`"),
        ("trials: 8", "objectives: [size, size]", "search.objectives: size is listed twice"),
        (
            "trials: 8",
            "tune: {files: a, fraction: 0.2}",
            "search.tune: files and fraction both choose the examples",
        ),
    ],
)
def test_mistakes_are_named_where_they_are(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SPACE
    assert message in problem(tmp_path, CONFIG + SPACE.replace(old, new))


def test_a_space_without_a_choice_is_refused(tmp_path: Path) -> None:
    text = CONFIG + "search: {space: [{convert: {quantization: int8}}]}\n"
    assert "search.space: has one candidate only" in problem(tmp_path, text)


@pytest.mark.parametrize("option", ['files: "tune*"', "hash_by: id"])
def test_of_one_pattern_the_same_hash_chooses_the_examples_to_tune_on(tmp_path: Path, option: str) -> None:
    text = CONFIG.replace("label: label}", 'label: label, splits: {pattern: "*", eval_fraction: 0.2}}')
    name = option.partition(":")[0]
    assert f"search.tune.{name}: data.splits.pattern divides the examples by a hash" in problem(
        tmp_path, text + SPACE + f"  tune: {{{option}}}\n"
    )


def test_values_make_a_chain(tmp_path: Path) -> None:
    space = searched(config(tmp_path).config).space
    values = {
        "prune_channels": False,
        "prune": True,
        "prune.sparsity": 0.654321,
        "cluster": True,
        "cluster.clusters": "16",
        "qat": False,
    }
    assert space.steps(values) == [
        {"prune": {"sparsity": 0.654}},
        {"cluster": {"clusters": 16}},
        {"convert": {"quantization": "int8"}},
    ]
    assert [step.technique for step in space.chain(values).steps()] == ["prune", "cluster", "convert"]


def test_the_ends_have_the_smallest_and_the_largest_values(tmp_path: Path) -> None:
    ends = searched(config(tmp_path).config).space.ends()
    sparsities = {name: chain.steps()[1].model_dump()["sparsity"] for name, chain in ends.items()}
    assert sparsities == {"search-low": 0.5, "search-high": 0.9}


def test_twenty_trials_unless_trials_or_minutes_are_written(tmp_path: Path) -> None:
    def most(written: str) -> int | None:
        return searched(config(tmp_path, SPACE.replace("trials: 8", written)).config).most_trials

    assert (most("round: 4"), most("trials: 7"), most("minutes: 7")) == (20, 7, None)


def searched(found: Config):
    assert found.search is not None
    return found.search


def test_a_search_without_candidates_is_not_run_or_compiled_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not known before the search; use `paredown search`"):
        refuse_without_candidates(config(tmp_path))
    by_hand = "candidates: {by-hand: [{convert: {quantization: int8}}]}\n"
    refuse_without_candidates(config(tmp_path, SPACE + by_hand))
