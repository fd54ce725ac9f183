"""Figures and colours."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from components.common.base.npu_options import NpuOptions
from components.common.tflite.npu_figures import NpuFigures
from components.evaluator.limits import LoadLimits, SizeLimits
from components.evaluator.params import JudgedGate
from components.measurer.file_facts import Layer
from components.measurer.measured import Sizes
from components.measurer.served_load import LoadFigures
from pipeline.report import charts, layer_figures, numbers, palette
from pipeline.report import page as report_page
from pipeline.report.data import Candidate, Curve, ReportData
from tests.verdicts import device, served_load

SIZE, ZEROS = (
    next(figure for figure in layer_figures.figures() if figure.title == title)
    for title in ("Size", "Zeros among the weights")
)
COLORS = (*palette.CANDIDATES, palette.BASELINE, palette.PASSED, palette.FAILED)


def trace(figure: object, name: str) -> object:
    (found,) = [t for t in figure.data if t.name == name]  # type: ignore[attr-defined]
    return found


def test_tradeoff_draws_candidates_front_and_region(pushed: ReportData) -> None:
    figure = charts.tradeoff(pushed, "gzip")
    assert (list(trace(figure, "selected").x), list(trace(figure, "selected").y)) == ([80_000], [0.978])
    assert list(trace(figure, "not passed").x) == [6_000]
    assert list(trace(figure, "baseline").x) == [900_000]
    # The student costs least; from the pruned file on, int8 is the better one.
    front = trace(figure, "Pareto front")
    assert list(front.x)[:4] == [6_000, 6_000, 80_000, 220_000]
    assert list(front.y)[1:5] == [0.961, 0.978, 0.979, 0.979]
    region = trace(figure, "gate allows")
    assert min(region.y) == pytest.approx(0.975)
    file_region = trace(charts.tradeoff(pushed, "file"), "gate allows")
    assert max(file_region.x) == pytest.approx(300_000)


def test_tradeoff_of_latency_has_intervals(pushed: ReportData) -> None:
    selected = trace(charts.tradeoff(pushed, "latency"), "selected")
    assert list(selected.x) == [pytest.approx(0.55)]
    assert selected.error_x.array[0] == pytest.approx(0.55 * 0.03)


def test_memory_is_drawn_with_its_limit_if_it_was_measured(pushed: ReportData) -> None:
    assert report_page.figures(pushed) == ("file", "gzip", "latency")
    assert pushed.gate is not None
    taken = {"int8": 20_000, "pruned-int8": 19_000, "student": 5_000}

    def on_device(one: Candidate) -> Candidate:
        measured = dataclasses.replace(one.measured, device=device(taken[one.name]))
        return dataclasses.replace(one, verdict=dataclasses.replace(one.verdict, measured=measured))

    data = dataclasses.replace(
        pushed,
        candidates=tuple(map(on_device, pushed.candidates)),
        gate=pushed.gate.within({"memory": 16_000}),
    )
    assert report_page.figures(data) == ("file", "gzip", "latency", "memory")
    figure = charts.tradeoff(data, "memory")
    assert list(trace(figure, "selected").x) == [19_000]
    assert list(trace(figure, "baseline").x) == [40_000]
    assert max(trace(figure, "gate allows").x) == 16_000
    assert ("memory", "2.1 × less", "19.0 kB, was 40.0 kB") in report_page.highlights(data)
    assert "memory on the target" in report_page.render(data)


def test_brotli_is_drawn_with_its_limit_if_it_was_measured(pushed: ReportData) -> None:
    assert pushed.gate is not None
    taken = {"int8": 200_000, "pruned-int8": 70_000, "student": 5_000}

    def downloaded(one: Candidate) -> Candidate:
        assert one.measured.size is not None
        size = Sizes(
            dataclasses.replace(one.measured.size.candidate, brotli=taken[one.name]),
            dataclasses.replace(one.measured.size.baseline, brotli=840_000),
        )
        measured = dataclasses.replace(one.measured, size=size)
        return dataclasses.replace(one, verdict=dataclasses.replace(one.verdict, measured=measured))

    data = dataclasses.replace(
        pushed,
        candidates=tuple(map(downloaded, pushed.candidates)),
        gate=pushed.gate.model_copy(update={"brotli_size": SizeLimits(max=100_000)}),
    )
    assert report_page.figures(data) == ("file", "gzip", "latency", "brotli")
    figure = charts.tradeoff(data, "brotli")
    assert list(trace(figure, "selected").x) == [70_000]
    assert list(trace(figure, "baseline").x) == [840_000]
    assert max(trace(figure, "gate allows").x) == 100_000
    assert ("Brotli", "12.0 × smaller", "70.0 kB, was 840.0 kB") in report_page.highlights(data)
    html = report_page.render(data)
    assert "Brotli-compressed size" in html and "at most 100.0 kB" in html


def test_the_worst_p99_of_a_server_is_drawn_with_its_limit(pushed: ReportData) -> None:
    assert pushed.gate is not None
    load = served_load()
    slow = dataclasses.replace(load.modes[2], candidate=LoadFigures(10, 100, 10.0))
    loads = {"pruned-int8": load, "int8": dataclasses.replace(load, modes=(*load.modes[:2], slow))}

    def served(one: Candidate) -> Candidate:
        measured = dataclasses.replace(one.measured, load=loads.get(one.name))
        return dataclasses.replace(one, verdict=dataclasses.replace(one.verdict, measured=measured))

    gate = pushed.gate.model_copy(update={"p99": LoadLimits(max_ratio=1.5)})
    data = dataclasses.replace(pushed, candidates=tuple(map(served, pushed.candidates)), gate=gate)
    assert report_page.figures(data) == ("file", "gzip", "latency", "p99")
    figure = charts.tradeoff(data, "p99")
    assert list(trace(figure, "selected").x) == [pytest.approx(1.2)]
    assert list(trace(figure, "baseline").x) == [1.0]
    assert max(trace(figure, "gate allows").x) == 1.5
    assert {point.name: point.cost for point in charts.measured_points(data, "p99")} == {
        "pruned-int8": pytest.approx(1.2),
        "int8": pytest.approx(2.0),
    }
    assert "at most 1.5 × the baseline" in report_page.render(data)


def test_npu_cycles_are_drawn_with_their_limit_if_all_of_them_are_known(pushed: ReportData) -> None:
    assert pushed.gate is not None
    cycles = {"int8": 70_000, "pruned-int8": 30_000, "student": 9_000}

    def compiled(one: Candidate) -> Candidate:
        cpu = {"SOFTMAX": 1} if one.name == "student" else {}
        npu = NpuFigures("Vela 5", "ethos-u55-128", "", "", cycles[one.name], 4608, 9000, cpu)
        measured = dataclasses.replace(one.measured, device=dataclasses.replace(device(20_000), npu=npu))
        return dataclasses.replace(one, verdict=dataclasses.replace(one.verdict, measured=measured))

    limit = NpuOptions(accelerator="ethos-u55-128", max_cycles=50_000)
    data = dataclasses.replace(
        pushed, candidates=tuple(map(compiled, pushed.candidates)), gate=JudgedGate.of(pushed.gate, limit)
    )
    assert report_page.figures(data) == ("file", "gzip", "latency", "memory", "npu_cycles")
    figure = charts.tradeoff(data, "npu_cycles")
    assert list(trace(figure, "selected").x) == [30_000]
    assert max(trace(figure, "gate allows").x) == 50_000
    # The student has an operator on the CPU, and the baseline is not compiled.
    assert {point.name: point.cost for point in charts.measured_points(data, "npu_cycles")} == {
        "int8": 70_000,
        "pruned-int8": 30_000,
    }
    html = report_page.render(data)
    assert "NPU cycles, by Vela&#39;s estimate" in html or "NPU cycles, by Vela's estimate" in html
    assert "at most 50,000" in html


def test_nothing_measured_draws_nothing(pushed: ReportData) -> None:
    empty = ReportData(**{**vars(pushed), "candidates": (), "baseline_layers": {}})
    assert charts.tradeoff(empty, "file") is None
    assert charts.latencies(empty) is None
    assert charts.layers(empty, SIZE, []) is None
    assert charts.slices(empty, []) is None


def test_boxes_are_the_quantiles_of_single_times(pushed: ReportData) -> None:
    figure = charts.latencies(pushed)
    box = trace(figure, "candidate")
    place = list(box.y).index("int8")
    times = np.array(pushed.candidates[0].latencies.candidate)
    # The axis is in seconds, for plotly's SI prefixes.
    assert 1000 * box.median[place] == pytest.approx(np.median(times))
    assert 1000 * box.q1[place] == pytest.approx(np.quantile(times, 0.25))
    assert 1000 * box.upperfence[place] == pytest.approx(np.quantile(times, 0.95))


def test_layers_have_bytes_by_type(pushed: ReportData) -> None:
    figure = charts.layers(pushed, SIZE, ["baseline", "int8"])
    assert list(trace(figure, "baseline").x) == [4_800, 800_000]
    assert list(trace(figure, "int8").x) == [1_200, 200_000]
    assert trace(figure, "baseline").visible and not trace(figure, "student").visible
    assert layer_figures.layer_bytes(Layer("int4", 10, 0.0, 3)) == 5
    sparsity = charts.layers(pushed, ZEROS, ["baseline"])
    assert list(trace(sparsity, "pruned-int8").x) == [0.8, 0.8]


def test_slices_are_differences_with_limits(pushed: ReportData) -> None:
    figure = charts.slices(pushed, ["student"])
    assert list(trace(figure, "student").x) == pytest.approx([0.01, -0.04])
    assert list(trace(figure, "limit").x) == pytest.approx([-0.02, -0.02])


def test_learning_curve_has_a_row_per_metric_and_the_kept_epoch(pushed: ReportData) -> None:
    figure = charts.learning_curve(pushed.curves[0])
    assert [list(t.y) for t in figure.data[:2]] == [[0.5, 0.3, 0.25], [0.6, 0.4, 0.35]]
    assert {shape.x0 for shape in figure.layout.shapes} == {2}
    assert figure.layout.xaxis.dtick == 1, "no epoch between two epochs"
    assert charts.learning_curve(Curve("qat", ({"epoch": 1, "loss": 0.1},), 1)) is None


def luminance(color: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colors_have_contrast_to_the_page_in_both_themes() -> None:
    style = (Path(charts.__file__).parents[1] / "style.css").read_text(encoding="utf-8")
    pages = set(re.findall(r"--page: (#\w{6})", style))
    assert len(pages) == 2
    for page, color in itertools.product(pages, COLORS):
        light, dark = sorted((luminance(color), luminance(page)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, (color, page)


def test_twenty_candidates_look_different() -> None:
    names = [f"c{i}" for i in range(20)]
    assert len(set(palette.color_of(names).values())) == 20


def test_times_are_short() -> None:
    assert numbers.time_text(0.0364) == "36 µs" and numbers.time_text(1.5) == "1.50 ms"


def test_figures_hold_no_value_that_json_has_not(pushed: ReportData) -> None:
    for figure in (charts.tradeoff(pushed, "file"), charts.latencies(pushed), charts.slices(pushed, [])):
        json.loads(figure.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert math.isfinite(charts.tradeoff(pushed, "file").layout.xaxis.range[0])
