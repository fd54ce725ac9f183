"""A config, and verdicts that the project's own code gives on figures that are made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.common.base.limit_bounds import BOUNDS
from components.evaluator.judgement import (
    Failure,
    Figure,
    Judgement,
    Kind,
    accuracy_figure,
    latency_figure,
    size_figure,
)
from components.evaluator.judging import conclude, judge_figure
from components.evaluator.verdict import Verdict
from components.measurer.comparison import Interval
from components.measurer.file_facts import FileFacts, Layer
from components.measurer.measured import Accuracy, Measured, Size, SliceAccuracy, SliceValue
from tests.verdicts import latency, sizes

CONVERT = {"technique": "convert", "quantization": "int8", "io": "int8", "sparse": False}
PRUNE = {"technique": "prune", "sparsity": 0.8, "epochs": 2}
DISTILL = {"technique": "distill", "student": "build_student", "epochs": 3}
GATE: dict[str, Any] = {
    "accuracy": {
        "metric": "SparseCategoricalAccuracy",
        "min": 0.97,
        "max_drop": 0.005,
        "slices": [{"by": "label", "max_drop": 0.02}],
    },
    "latency": {"percentile": 50, "max_ratio": 1.0, "repetitions": 200, "threads": 1},
    "size": {"of": "file", "max_ratio": 0.3},
}
BASELINE = {"file": 1_000_000, "gzip": 900_000, "accuracy": 0.98, "ms": 0.2}
LAYERS = {
    "conv": {"dtype": "float32", "weights": 1200, "sparsity": 0.0, "unique": 1200},
    "dense": {"dtype": "float32", "weights": 200_000, "sparsity": 0.0, "unique": 199_000},
}


def chain(*steps: dict[str, Any]) -> list[dict[str, Any]]:
    """Steps as the config as resolved has them: each technique's options, and null for all others."""
    names = ("distill", "prune", "cluster", "qat", "fine_tune", "convert")
    return [
        {
            name: {k: v for k, v in step.items() if k != "technique"} if name == step["technique"] else None
            for name in names
        }
        for step in steps
    ]


CONFIG: dict[str, Any] = {
    "name": "small",
    "candidates": {
        "int8": chain(CONVERT),
        "pruned-int8": chain(PRUNE, CONVERT),
        "student": chain(DISTILL, CONVERT),
    },
    "gate": GATE,
    "select": {"minimize": "gzip_size", "maximize": None},
    "run": {"pipeline_root": None, "seed": 7},
}


def verdict(
    steps: list[dict[str, Any]],
    accuracy: float,
    file: int,
    gzip: int,
    milliseconds: float,
    gate: Mapping[str, Any] = GATE,
    sparsity: float = 0.0,
    slices: Mapping[str, float] | None = None,
    failures: list[Failure] | None = None,
) -> Verdict:
    """A verdict that the project's own code gives on figures that are made up."""
    slices = slices or {"label=0": accuracy, "label=1": accuracy}
    ratio = milliseconds / BASELINE["ms"]
    of = gate["size"]["of"]

    def judge(figure: Figure, section: str, limits: Mapping[str, Any], *figures: Any, **more: Any) -> Any:
        return judge_figure(
            figure, {bound: limits.get(bound) for bound in BOUNDS}, *figures, section=section, **more
        )

    def accuracy_of(**more: Any) -> Figure:
        return accuracy_figure(gate["accuracy"]["metric"], **more)

    judged = [
        *judge(
            size_figure(of),
            "gate.size",
            gate["size"],
            {"file": file, "gzip": gzip}[of],
            BASELINE[of],
            False,
        ),
        *judge(
            latency_figure(50),
            "gate.latency",
            gate["latency"],
            milliseconds,
            BASELINE["ms"],
            False,
            ratio=Interval(ratio * 0.97, ratio * 1.03),
        ),
        *judge(
            accuracy_of(), "gate.accuracy", gate["accuracy"], accuracy, BASELINE["accuracy"], ascending=True
        ),
        Judgement.on(
            Figure("weights[dense]", Kind.TYPE, aspect="weights", layer="dense"), "type", None, None
        ),
    ]
    keys = {name: (SliceValue(*name.split("=")),) for name in slices}
    for name, value in slices.items():
        for index, section in enumerate(gate["accuracy"].get("slices", [])):
            place = f"gate.accuracy.slices.{index}"
            judged += judge(
                accuracy_of(slice=keys[name]), place, section, value, BASELINE["accuracy"], ascending=True
            )
    layers = {name: Layer("int8", layer["weights"], sparsity, 200) for name, layer in LAYERS.items()}
    measured = Measured(
        steps=tuple(steps),
        size=sizes(file, gzip, Size(BASELINE["file"], BASELINE["gzip"])),
        file=FileFacts({"image": "int8"}, {"probabilities": "int8"}, layers=layers),
        invariants={"least_layer_sparsity": sparsity} if sparsity else {},
        latency=None if failures else latency(milliseconds, BASELINE["ms"]),
        accuracy=Accuracy(
            gate["accuracy"]["metric"],
            True,
            accuracy,
            BASELINE["accuracy"],
            2000,
            tuple(
                SliceAccuracy(name, value, BASELINE["accuracy"], 1000, keys[name])
                for name, value in slices.items()
            ),
        ),
    )
    return conclude(judged, measured, failures or ())


def passing() -> dict[str, Verdict]:
    """Two candidates that pass and one that does not."""
    return {
        "int8": verdict([CONVERT], 0.979, 250_000, 220_000, 0.1),
        "pruned-int8": verdict([PRUNE, CONVERT], 0.978, 250_000, 80_000, 0.11, sparsity=0.8),
        "student": verdict(
            [DISTILL, CONVERT], 0.961, 9_000, 6_000, 0.02, slices={"label=0": 0.99, "label=1": 0.94}
        ),
    }
