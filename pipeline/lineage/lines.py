"""Lines and tables of the lineage on screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from components.common.base.quantities import bytes_text
from components.evaluator.judgement import Judgement
from components.evaluator.verdict import Verdict
from pipeline.base.texts import duration_text
from pipeline.lineage import facts

if TYPE_CHECKING:
    from pipeline.store.records import Artifact, Execution

# More than these are summed up in one line; `--format json` has all.
MOST_LAYERS = 24

ROLES = {
    "Schema": "schema",
    "ExampleAnomalies": "anomalies",
    "ExampleStatistics": "statistics",
    "Examples": "examples",
    "TransformGraph": "transform",
}


def headline(role: str, name: str, artifact: Artifact, more: str = "") -> Text:
    """An artifact in one line: its role, its name, more, its id."""
    text = Text(clean(role), style="bold")
    if name:
        text.append(f" {clean(name)}", "bold cyan")
    if more:
        text.append(f"  {clean(more)}", "not bold")
    text.append(f"  #{artifact.id}", "not bold dim")
    if not artifact.live:
        text.append("  files are gone", "not bold yellow")
    return text


def name_of(artifact: Artifact) -> str:
    """The folder that an artifact was pushed to, or its candidate; empty if it has neither."""
    for name in ("pushed_destination", "winner", "candidate"):
        if artifact.properties.get(name):
            return str(artifact.properties[name])
    return ""


def limit_table(judgements: Iterable[Judgement]) -> Table:
    """A row for each limit, with what was measured."""
    table = make_table("figure", "bound", "measured", "limit", "met")
    for judgement in judgements:
        met = Text("yes", "green") if judgement.met else Text("no", "bold red")
        measured, allowed = judgement.texts()
        row(table, judgement.figure, judgement.bound, measured, allowed, met)
    return table


def row(table: Table, *cells: Any) -> None:
    """Adds texts as they are: brackets are not markup."""
    table.add_row(*(cell if isinstance(cell, Text) else Text(clean(cell)) for cell in cells))


def layer_table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each layer of a model: weights, zeros, distinct values, figures of other invariants."""
    # Figures of other invariants, of the layers that have to keep one.
    own = list(dict.fromkeys(figure for layer in found.values() for figure in layer.get("figures", {})))
    table = make_table("layer", "type", "weights", "zeros", "distinct values", *own)
    for name, layer in list(found.items())[:MOST_LAYERS]:
        figures = layer.get("figures", {})
        row(
            table,
            name,
            layer.get("dtype", ""),
            f"{layer['weights']:,}" if "weights" in layer else "",
            f"{layer['sparsity']:.1%}" if "sparsity" in layer else "",
            f"{layer['unique']:,}" if "unique" in layer else "",
            *(value_text(figures[figure]) if figures.get(figure) is not None else "" for figure in own),
        )
    if len(found) > MOST_LAYERS:
        row(table, more(len(found) - MOST_LAYERS, "more layers"))
    return table


_NUMERIC = frozenset({"size", "gzip", "measured", "limit", "weights", "zeros", "distinct values"})


def make_table(*names: str) -> Table:
    """An empty table with these columns."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for name in names:
        justify: Any = "right" if name in _NUMERIC else "left"
        table.add_column(name, justify=justify, no_wrap=name in _NUMERIC, overflow="fold")
    return table


def outcome(verdict: Verdict) -> Text:
    """Whether a candidate passed, and the first reason if it did not."""
    if verdict.blessed:
        return Text("passed", style="green")
    reasons = verdict.reasons
    text = Text("did not pass", style="red")
    if reasons:
        text.append(f": {clean(reasons[0])}")
    if len(reasons) > 1:
        text.append(f" (and {len(reasons) - 1} more)")
    return text


def line(name: str, text: str) -> Text:
    """A name, dimmed, and its text."""
    return Text(f"{clean(name)} ", style="dim").append(clean(text), "not dim")


def add_tfjs(branch: Tree, properties: Mapping[str, Any]) -> None:
    """Adds a line with the figures of a pushed model for TensorFlow.js, if there is one."""
    if "tfjs_bytes" not in properties:
        return
    texts = [
        f"{properties['tfjs_quantization']} weights, {bytes_text(properties['tfjs_bytes'])}",
        f"{bytes_text(properties['tfjs_gzip_bytes'])} gzip",
    ]
    for key, where in (("tfjs_node", "Node"), ("tfjs_chromium", "Chromium")):
        if f"{key}_max_error" in properties:
            texts.append(
                f"outputs at most {properties[f'{key}_max_error']:.2g} from the model's in {where}"
            )
        if f"{key}_same_prediction" in properties:
            texts.append(f"{properties[f'{key}_same_prediction']:.2%} the same predictions")
    texts[-1] += f" ({properties['tfjs_examples']:.0f} examples)"
    branch.add(line("TensorFlow.js", "; ".join(texts)))


def more(count: int, what: str) -> Text:
    """The line for what is left out."""
    return Text(f"… and {count:,} {what}; --format json has all", style="dim")


def options_text(values: Mapping[str, Any]) -> str:
    """Options in one line."""
    return ", ".join(f"{name} {value_text(value)}" for name, value in values.items())


def pretrained_text(options: Mapping[str, Any]) -> str:
    """The pretrained model that a baseline's first layers come from."""
    name = options.get("application") or ""
    file, digest = options.get("file"), options.get("sha256")
    origin = f"{file}, sha256 {digest}" if file else "random weights"
    cut = f", up to {options['cut_at']}" if options.get("cut_at") else ""
    return f"{name}{' ' if name else ''}{origin}{cut}"


def value_text(value: Any) -> str:
    """A value as YAML people would write it in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {value_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    return str(value)


def counts_text(counts: Mapping[str, int]) -> str:
    """Examples of each split in one line."""
    return ", ".join(f"{count:,} {split}" for split, count in counts.items())


def size_text(artifact: Artifact) -> str:
    """A model's quantization and bytes in one line."""
    properties = artifact.properties
    parts = [str(properties["quantization"])] if properties.get("quantization") else []
    if "bytes" in properties:
        parts.append(bytes_text(properties["bytes"]))
    if "gzip_bytes" in properties:
        parts.append(f"gzip {bytes_text(properties['gzip_bytes'])}")
    return ", ".join(parts)


def took_text(execution: Execution) -> str:
    """How long an execution took; its state if it has not ended."""
    if execution.finished is None:
        return execution.state.value
    return duration_text((execution.finished - execution.started).total_seconds())


def time_text(moment: datetime) -> str:
    """A moment in UTC."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def clean(text: Any) -> str:
    """A text in one line, without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def add_files(branch: Tree, artifact: Artifact, short: bool = True) -> None:
    """Adds a line for each file that was recorded of an artifact."""
    found = facts.files(artifact)
    for path, digest in list(found.items())[:MOST_LAYERS]:
        branch.add(line("file", f"{path}, sha256 {digest[:12] + '…' if short else digest}"))
    if len(found) > MOST_LAYERS:
        branch.add(more(len(found) - MOST_LAYERS, "more files"))


def add_properties(branch: Tree, artifact: Artifact) -> None:
    """Adds a line for each of an artifact's own properties."""
    for name, value in facts.own_properties(artifact).items():
        branch.add(line(name, value_text(value)))
