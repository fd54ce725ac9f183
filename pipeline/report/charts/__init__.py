"""The report's charts. Colours of text and lines follow the page's theme."""

from pipeline.report.charts.latency import latencies
from pipeline.report.charts.layer_bars import layer_files, layer_names, layers
from pipeline.report.charts.learning_curves import learning_curve
from pipeline.report.charts.slice_changes import slice_names, slices
from pipeline.report.charts.tradeoffs import AXES, comparison, cost_text, measured_points, tradeoff

__all__ = [
    "AXES",
    "comparison",
    "cost_text",
    "latencies",
    "layer_files",
    "layer_names",
    "layers",
    "learning_curve",
    "measured_points",
    "slice_names",
    "slices",
    "tradeoff",
]
