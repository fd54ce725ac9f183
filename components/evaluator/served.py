"""Judging what is served beside what the pipeline trained on; see components.measurer.served_skew."""

from __future__ import annotations

from components.evaluator.judgement import Figure, Judgement, Kind
from components.evaluator.judging import judge_figure
from components.measurer.measured import Skew

FEATURES = Figure("served features", Kind.SERVED, aspect="features")
FILE = Figure("served prediction of the file", Kind.SERVED, aspect="file")
MODEL = Figure("served prediction of the SavedModel", Kind.SERVED, aspect="model")


def judge(skew: Skew | None) -> list[Judgement]:
    """The judgements; if nothing was measured, none of them is met."""
    bounds: dict[Figure, tuple[float, float | None]] = {
        FEATURES: (0.0, skew.differing if skew else None),
        FILE: (0.0, skew.file_error if skew else None),
        MODEL: (skew.conversion_error + skew.tolerance, skew.model_error) if skew else (0.0, None),
    }
    return [
        judgement
        for figure, (limit, value) in bounds.items()
        for judgement in judge_figure(figure, {"max": limit}, value, None, ascending=False)
    ]
