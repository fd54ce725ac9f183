"""The report as HTML: one file that needs nothing else."""

from __future__ import annotations

import base64
import functools
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from components.common.base import quantities, whole_file
from components.common.base.errors import ParedownError
from pipeline.diff import difference
from pipeline.diff.difference import RunDiff
from pipeline.report import (
    advice,
    charts,
    comparison,
    federated,
    layer_costs,
    layer_figures,
    node_tree,
    numbers,
    palette,
    searched,
    tables,
    usage,
)
from pipeline.report.collection import collect
from pipeline.report.data import Candidate, Cost, Figure, ReportData
from pipeline.run import verdict_table
from pipeline.store.reader import Reader, open_reader
from pipeline.store.records import Run
from pipeline.store.state import State

_FOLDER = Path(__file__).parent

# Drawn in the charts of layers and slices until the reader ticks other boxes.
_MOST_SHOWN = 3

_FIGURES: tuple[Cost, ...] = ("file", "gzip", "latency")
_OF_TARGET: tuple[Cost, ...] = ("brotli", "memory", "npu_cycles", "p99")


class ReportError(ParedownError):
    """A page that cannot be written; the text says why, and what to do."""


def write(reader: Reader, run: Run, output: Path) -> None:
    """Writes the report of a run.

    Args:
        reader: Reads the store.
        run: A run in it.
        output: The page. It is written beside and moved into place, so it is never incomplete.

    Raises:
        ReportError: If it cannot be written; what was there before is left as it was.
    """
    _save(render(collect(reader, run)), output)


def write_run(url: str, run_id: str, output: Path) -> bool:
    """Writes the report of a run that a store may know.

    Args:
        url: URL of the store.
        run_id: Id of the run.
        output: As for `write`.

    Returns:
        Whether the store knows the run.
    """
    reader = open_reader(url)
    run = reader.run(run_id) if reader else None
    if reader is None or run is None:
        return False
    write(reader, run, output)
    return True


def write_comparison(reader_a: Reader, run_a: Run, reader_b: Reader, run_b: Run, output: Path) -> None:
    """Writes a page that has two runs side by side.

    Args:
        reader_a: Reader of the store that has the first run.
        run_a: The first run.
        reader_b: Reader of the store that has the second run.
        run_b: The second run.
        output: As for `write`.
    """
    compared = difference.diff(reader_a, run_a, reader_b, run_b)
    _save(render_comparison(collect(reader_a, run_a), collect(reader_b, run_b), compared), output)


def _save(text: str, output: Path) -> None:
    # Moving the page into place would replace a device.
    if os.path.exists(output) and not os.path.isfile(output):
        raise ReportError(f"{output} is not a file; name one with -o")
    try:
        place = Path(os.path.realpath(output))  # what a link leads to, and not the link
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file.writing(place) as file:
            file.write(text)
    except OSError as error:
        raise ReportError(f"{output} cannot be written: {error.strerror}; name another with -o") from None


def render(data: ReportData) -> str:
    """The page of one run."""
    search = searched.section(data.search, data.winner_name)
    clients = federated.section(data.federated)
    return _template("run.html.j2").render(
        search=search,
        federated=clients,
        federated_curve=_chart(clients.curve if clients else None),
        federated_spread=_chart(clients.spread if clients else None),
        search_scatter=_chart(search.scatter if search else None),
        search_importance=_chart(search.importance if search else None),
        title=f"{data.run.pipeline or 'Run'}: {headline(data)}",
        data=data,
        run=data.run,
        headline=headline(data),
        highlights=highlights(data),
        verdicts=tables.verdicts(data),
        limits=tables.limits(data),
        judgements=[tables.judgements(c) for c in data.candidates],
        advice=advice.advise(data),
        recovery=advice.after_failure(data) if not data.selected else (),
        tradeoffs=[_tradeoff(data, figure) for figure in figures(data)],
        latency=_chart(charts.latencies(data)),
        latency_table=tables.latencies(data),
        latency_caption=tables.latency_caption(data),
        latency_signs=_SIGNS[any(c.latencies for c in data.candidates)],
        legend=_LEGEND,
        curves=[
            (curve, _chart(charts.learning_curve(curve)), tables.learning_curve(curve))
            for curve in data.curves
        ],
        layers=[
            (figure, _chart(charts.layers(data, figure, shown(data))), tables.layers(data, figure))
            for figure in layer_figures.figures()
        ],
        ranges=tables.ranges(data),
        costs=[(one, _chart(one.chart)) for one in layer_costs.found(data)],
        layer_files=_swatches(data, list(charts.layer_files(data))),
        slices=_chart(charts.slices(data, shown(data))),
        slice_table=tables.slices(data),
        unjudged=verdict_table.notes(data.verdicts.values()),
        class_notes=[*verdict_table.class_notes(data.verdicts), *verdict_table.repair_notes(data.verdicts)],
        slice_files=_swatches(data, [c.name for c in data.candidates]),
        nodes=node_tree.tree(data),
        steps=tables.steps(data),
        step_details=[(s, tables.parameters(s.parameters), tables.parameters(s.facts)) for s in data.steps],
        data_files=tables.data_files(data),
        findings=tables.findings(data),
        environment=tables.environment(data),
        config=_yaml(data.config) if data.config else "",
        commit=comparison.commit_text(data.run),
        code=usage.code(data.pushed) if data.pushed else "",
        shown=shown(data),
    )


_SIGNS = {
    True: "Boxes are the middle half of all times, whiskers reach from the 5th to the 95th percentile.",
    False: "Circles are the 50th percentile, bars the 90th, triangles the 99th.",
}
_STAR = "M0,-8L2,-2.5L8,-2.5L3,1L5,7L0,3.5L-5,7L-3,1L-8,-2.5L-2,-2.5Z"
_LEGEND = [
    (name, {"path": path, "fill": fill, "stroke": stroke, "width": width, "dash": dash})
    for name, path, fill, stroke, width, dash in (
        ("selected", _STAR, palette.PASSED, "none", 0, ""),
        ("passed", "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z", palette.PASSED, "none", 0, ""),
        ("not passed", "M-5,-5L5,5M5,-5L-5,5", "none", palette.FAILED, 2.5, ""),
        ("baseline", "M0,-6L6,0L0,6L-6,0Z", palette.BASELINE, "none", 0, ""),
        ("Pareto front", "M-10,6H-2V-5H10", "none", palette.BASELINE, 1.5, ""),
        ("what the gate allows", "M-10,-7H10V7H-10Z", "rgba(42, 138, 92, 0.12)", palette.PASSED, 1, "3 2"),
    )
]


def render_comparison(one: ReportData, other: ReportData, compared: RunDiff) -> str:
    """The page of two runs.

    Args:
        one: The first run.
        other: The second run.
        compared: What differs between them.
    """
    judged = [side.metric for side in (one, other) if side.candidates] or [other.metric]
    drawn = figures(one, other) if judged[0] == judged[-1] else ()
    return _template("comparison.html.j2").render(
        title=f"{one.run.pipeline}: two runs compared",
        sides=[("First run", one), ("Second run", other)],
        headlines=[headline(one), headline(other)],
        commits=[comparison.commit_text(one.run), comparison.commit_text(other.run)],
        baselines=[comparison.latency_times(one), comparison.latency_times(other)],
        made_of=comparison.made_of_table(compared),
        candidates=comparison.candidates_table(one, other),
        verdicts=[tables.verdicts(side, links=False) for side in (one, other)],
        charts=[(f, _chart(charts.comparison(one, other, f))) for f in drawn],
        axes=charts.AXES,
        metrics=(judged[0], judged[-1]),
        missing=comparison.not_known(compared),
    )


def figures(*sides: ReportData) -> tuple[Cost, ...]:
    """The costs that candidates are drawn by: those of targets only if they were measured."""
    candidates = [c for data in sides for c in data.candidates]
    return (*_FIGURES, *(f for f in _OF_TARGET if any(c.figure(f) is not None for c in candidates)))


def headline(data: ReportData) -> str:
    """How the run ended, in one line."""
    run, winner = data.run, data.winner_name
    if run.status == State.PUSHED:
        return (
            f"{winner} {'pushed' if run.pushed_now or not run.recorded else 'passed; it was pushed before'}"
        )
    if run.status == State.FAILED and run.failed_node:
        return f"{run.failed_node} failed"
    return {
        State.FAILED: "the run failed",
        State.INTERRUPTED: "the run was interrupted",
        State.JUDGED: "a round of a search: trials judged on the tune split",
        State.RUNNING: "the run goes on",
        State.UNFINISHED: "how the run ended was not recorded",
    }.get(run.status, run.status)


def highlights(data: ReportData) -> list[tuple[str, str, str]]:
    """The winner's figures: name, value, and what it is compared with."""
    winner = data.winner
    if winner is None:
        return []

    def both(figure: Figure, text: Callable[[Any], str]) -> str:
        return f"{text(winner.figure(figure))}, was {text(winner.figure(figure, 'baseline'))}"

    ratios = (
        ("file size", winner.size_ratio("file"), "smaller", both("file", numbers.bytes_text)),
        ("compressed", winner.size_ratio("gzip"), "smaller", both("gzip", numbers.bytes_text)),
        ("Brotli", winner.size_ratio("brotli"), "smaller", both("brotli", numbers.bytes_text)),
        ("latency", winner.latency_ratio, "faster", both("latency", numbers.time_text)),
        ("memory", _memory_ratio(winner), "less", both("memory", numbers.bytes_text)),
    )
    found = [
        (name, f"{1 / ratio:.1f} × {better}" if ratio < 1 else f"{ratio:.2f} ×", text)
        for name, ratio, better, text in ratios
        if ratio
    ]
    mine, other = winner.figure("accuracy"), winner.figure("accuracy", "baseline")
    if mine is not None and other is not None:
        text = f"{numbers.accuracy_text(mine - other, signed=True)} against the baseline"
        found.append((data.metric, numbers.accuracy_text(mine), text))
    return found


def _memory_ratio(winner: Candidate) -> float | None:
    mine, other = winner.figure("memory"), winner.figure("memory", "baseline")
    return mine / other if mine is not None and other else None


def shown(data: ReportData) -> list[str]:
    """Candidates that charts with a line or bar for each show at first: the winner, the baseline, a few."""
    winner = data.winner_name
    names = [c.name for c in data.candidates]
    ranked = sorted(names, key=lambda name: (name != winner, names.index(name)))
    return ["baseline", *ranked[:_MOST_SHOWN]]


def _swatches(data: ReportData, names: list[str]) -> list[tuple[str, str, bool, bool]]:
    """Name, colour, whether that is another's, too, and whether it is drawn at first, of each box to tick."""
    colors = palette.color_of(name for name in names if name != "baseline")
    found = [(name, *colors.get(name, (palette.BASELINE, 0))) for name in names]
    return [(name, color, again > 0, name in shown(data)) for name, color, again in found]


def _tradeoff(data: ReportData, figure: Cost) -> dict[str, Any]:
    low, high = advice.gate_range(data, figure)

    def text(value: float) -> str:
        in_relation = figure in ("latency", "p99")
        return f"{value:.3g} × the baseline's" if in_relation else charts.cost_text(figure, value)

    bounds = [f"at least {text(low)}"] if low is not None else []
    bounds += [f"at most {text(high)}"] if high is not None else []
    return {
        "id": figure,
        "title": f"{data.metric} against {charts.AXES[figure]}",
        "chart": _chart(charts.tradeoff(data, figure)),
        "table": tables.tradeoff(data, figure),
        "bounds": " and ".join(bounds),
    }


def _chart(figure: Any | None) -> str | None:
    """A figure as JSON for a script element."""
    if figure is None:
        return None
    plain = json.loads(figure.to_json())
    return _in_script({"data": plain["data"], "layout": plain["layout"]})


def _in_script(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _yaml(config: dict[str, Any]) -> str:
    """A config as YAML, without options that are not set."""
    from ruamel.yaml import YAML

    writer = YAML()
    writer.default_flow_style = False
    writer.width = 100
    stream = io.StringIO()
    writer.dump(_without_null(config), stream)
    return stream.getvalue()


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return value


@functools.lru_cache(maxsize=1)
def _plotly() -> str:
    """plotly.js of the installed package, compressed: 2 MB of text in place of 5.

    The page's script unpacks it; every browser since 2023 can. If one cannot, the tables have the numbers.
    """
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 6, mtime=0)).decode()


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        plotly=_plotly,
        style=lambda: Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),
        script=lambda: Markup((_FOLDER / "script.js").read_text(encoding="utf-8")),
    )
    made.filters.update(
        bytes=numbers.bytes_text,
        duration=numbers.duration_text,
        when=numbers.when_text,
        number=quantities.number_text,
    )
    return made


def _template(name: str) -> jinja2.Template:
    return _environment().get_template(name)
