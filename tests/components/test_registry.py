"""What techniques say of themselves is there, and fits together."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from components import registry
from components.common.base.layer_names import plain_name
from components.common.models.invariants import Invariant
from components.common.steps.technique import Chain, Goal, Technique

ROOT = Path(__file__).parents[2]
TECHNIQUES = list(registry.TECHNIQUES.values())


def defines(path: str) -> bool:
    """Whether the module of a dotted path defines its last part, read without importing it."""
    module, _, name = path.rpartition(".")
    tree = ast.parse(ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8"))
    return any(getattr(node, "name", None) == name for node in tree.body)


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)
def test_dotted_paths_name_something(technique: Technique) -> None:
    paths = [technique.component, technique.explanation, f"{technique.executor}.Executor"]
    assert [path for path in paths if not defines(path)] == []


@pytest.mark.parametrize("kind", registry.invariants(), ids=lambda kind: kind.__name__)
def test_invariants_are_read_from_records_by_their_path(kind: type[Invariant]) -> None:
    assert defines(kind.projection)
    assert defines(f"{kind.__module__}.{kind.__qualname__}")


def test_what_tables_and_charts_ask() -> None:
    assert {name: kind.figure for name, kind in registry.headlines().items()} == {
        "least_layer_sparsity": "sparsity", "least_m_by_n": "m_by_n", "most_layer_clusters": "clusters",
        "most_layer_channels": "channels",
    }  # fmt: skip
    assert {name: kind.scale for name, kind in registry.layer_figures().items()} == {
        "sparsity": "share", "unique": "logarithmic", "channels": "logarithmic",
    }  # fmt: skip
    assert plain_name("prune_low_magnitude_conv") == "conv"
    assert plain_name("quant_conv") == "conv"


def offered(goal: Goal, quantization: str, **steps: dict[str, Any]) -> list[str]:
    """What the techniques of lowest rank offer for a chain."""
    found = [
        (advice.rank, text)
        for technique in TECHNIQUES
        for advice in technique.advice
        if advice.goal == goal
        and (text := advice.text(Chain(steps.get(technique.name), quantization, "qat" in steps)))
    ]
    return [text for rank, text in found if rank == min(found)[0]]


@pytest.mark.parametrize(
    ("goal", "quantization", "steps", "texts"),
    [
        ("gzip_size", "int8", {"prune": {"sparsity": 0.5}}, ["add cluster after prune"]),
        (
            "gzip_size",
            "int8",
            {"prune": {"sparsity": 0.5}, "cluster": {"clusters": 16}},
            [
                "distill a smaller student first", "remove channels with prune_channels first",
                "ask for more sparsity", "ask for fewer clusters",
            ],
        ),
        ("size", "float16", {}, ["convert with quantization int8 in place of float16"]),
        (
            "latency",
            "float32",
            {"convert": {"sparse": True}},
            ["leave out sparse: true, as the runtime unpacks such weights"],
        ),
        ("latency", "int8", {}, ["distill a smaller student", "remove channels with prune_channels"]),
        ("size", "int8", {"prune_channels": {"macs": 0.5}}, [
            "distill a smaller student (zeros and shared values only make the compressed file smaller)",
            "let prune_channels keep less",
        ]),
        ("accuracy", "int8", {"prune_channels": {"ratio": 0.5, "epochs": 3}, "qat": {"epochs": 1}}, [
            "remove fewer channels, or train `prune_channels` for more than 3 epochs",
        ]),
        (
            "accuracy",
            "int8",
            {"prune": {"sparsity": 0.8, "epochs": 2}, "qat": {"epochs": 1}},
            ["prune less than 80%, or for more than 2 epochs"],
        ),
        ("accuracy", "int8", {"prune": {"sparsity": None}, "cluster": {"clusters": 8}}, ["use more than 8 clusters"]),
        ("accuracy", "dynamic", {}, ["add qat before convert"]),
        ("accuracy", "int8", {"convert": {"repair": None}}, [
            "add qat before convert",
            "write repair: {max_float: 3} under convert, which leaves the layers in float that lose most",
        ]),
        ("accuracy", "int8", {"convert": {"repair": {"max_float": 3}}}, ["add qat before convert"]),
        ("accuracy", "int8", {"convert": {"repair": None}, "qat": {"epochs": 3}},
         ["train `qat` for more than 3 epochs"]),
        ("accuracy", "int8", {"qat": {"epochs": 3}}, ["train `qat` for more than 3 epochs"]),
        ("accuracy", "float32", {}, []),
    ],
)  # fmt: skip
def test_advice(goal: Goal, quantization: str, steps: dict[str, Any], texts: list[str]) -> None:
    assert offered(goal, quantization, **steps) == texts
