"""Lineage on screen: what a model was made from, and what was made from data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from components.evaluator.judgement import Judgement, Kind
from components.evaluator.judging import distinct
from components.evaluator.measured import Measured
from components.evaluator.verdict import VERDICT_FILE, Verdict
from pipeline.base.texts import bytes_text, duration_text
from pipeline.lineage import facts
from pipeline.store.state import State

if TYPE_CHECKING:
    from pipeline.lineage.graph import Graph
    from pipeline.lineage.target import Note
    from pipeline.store.records import Artifact, Execution, Run

# More than these are summed up in one line; `--format json` has all.
_LAYERS = 24
_NEWEST = 5
_GROUPS = 40

_NOTE_STYLES = {"ok": "green", "warning": "yellow", "tampered": "bold red"}


def tree(
    graph: Graph,
    runs: Sequence[Run] = (),
    notes: Iterable[Note] = (),
    down: bool = False,
    documents: Mapping[str, Mapping[str, Any]] | None = None,
    newest: int = _NEWEST,
) -> RenderableType:
    """The graph as a tree.

    Upstream, from a pushed model: the verdict with every limit, the candidate's steps with their options
    and what was measured layer by layer, the baseline, schema, statistics and the data's files. Whatever
    was shown once is referred to from then on. Downstream: what was made from the roots, summed up by
    node.

    Args:
        graph: As pipeline.lineage.graph.upstream or, with `down`, pipeline.lineage.graph.downstream returns it.
        runs: That the graph's executions belong to; those that are not given are named by their ids.
        notes: What was found out about the roots, e.g. that a file is not what was pushed.
        down: Whether the graph leads downstream.
        documents: SHA-256 → config, environment or data document of those runs.
        newest: Downstream, how many of the same node are shown.
    """
    lines = [
        Text(
            f"{note.kind.upper() if note.kind == 'tampered' else note.kind}: {_clean(note.text)}",
            style=_NOTE_STYLES.get(note.kind, ""),
        )
        for note in notes
    ]
    if down:
        trees = [_Downstream(graph, newest).tree(graph.artifacts[root]) for root in graph.roots[:1]]
        if len(graph.roots) > 1:
            trees = [
                _Downstream(graph, newest).tree_of_all([graph.artifacts[root] for root in graph.roots])
            ]
        return Group(*lines, *trees)
    shown = _Upstream(graph, runs, documents or {})
    return Group(*lines, *(shown.tree(graph.artifacts[root]) for root in graph.roots))


class _Upstream:
    """What artifacts were made from. Each artifact is opened once."""

    def __init__(self, graph: Graph, runs: Sequence[Run], documents: Mapping[str, Mapping[str, Any]]):
        self._graph = graph
        self._runs = runs
        self._documents = documents
        self._shown: set[int] = set()
        self._run_ids: tuple[str, ...] = ()

    def tree(self, root: Artifact) -> Tree:
        """A root with all behind it."""
        top = Tree("", guide_style="dim", hide_root=True)
        producer = self._graph.producer(root.id)
        self._run_ids = producer.runs if producer else ()
        self._show(top, root)
        found = top.children[0]
        # Data come as a list: the root, and all that it was made from.
        found.children += top.children[1:]
        if producer is not None:
            self._run(found, producer)
        return found

    def _show(self, parent: Tree, artifact: Artifact, role: str = "") -> None:
        if artifact.id in self._shown:
            parent.add(_headline(role or artifact.type, "", artifact, "as above"))
            return
        producer = self._graph.producer(artifact.id)
        if artifact.type == "PushedModel":
            self._pushed(parent, artifact)
        elif producer is not None and producer.type == "Selector":
            self._selected(parent, artifact, producer)
        elif artifact.type in ("ModelEvaluation", "ModelBlessing") and producer is not None:
            self._judged(parent, artifact, producer)
        elif artifact.type in facts.DATA_TYPES:
            self._data(parent, [artifact])
        elif artifact.type == "Model":
            self._model(parent, artifact, role or "model", "")
        else:
            self._other(parent, artifact)

    def _pushed(self, parent: Tree, artifact: Artifact) -> None:
        self._shown.add(artifact.id)
        properties = artifact.properties
        destination = str(properties.get("pushed_destination", ""))
        if properties.get("pushed") != 1 and not destination:
            branch = parent.add(_headline("nothing pushed", "", artifact, "no candidate passed"))
        else:
            branch = parent.add(_headline("pushed model", destination, artifact))
            branch.add(_line("version", _version(artifact)))
        producer = self._graph.producer(artifact.id)
        self._made(branch, producer)
        self._files(branch, artifact, short=False)
        for models in _named(self._graph, producer, "model"):
            self._show(branch, models)

    def _selected(self, parent: Tree, artifact: Artifact, selector: Execution) -> None:
        """What a Selector made: its model, blessing or report; each shows the selection."""
        outputs = [found for made in self._graph.outputs(selector.id).values() for found in made]
        self._shown.update(found.id for found in outputs)
        compared = facts.candidates(self._graph, selector)
        winner = next(
            (
                str(found.properties[name])
                for found in outputs
                for name in ("candidate", "winner")
                if found.properties.get(name)
            ),
            "",
        )
        wish = facts.parsed(selector.properties, "select") or {}
        wanted = " ".join(f"{key} {value}" for key, value in sorted(wish.items()) if value)
        if winner:
            text = f"of {len(compared)} candidates" + (f", {wanted}" if wanted else "")
            branch = parent.add(_headline("selected", winner, artifact, text))
        else:
            branch = parent.add(_headline("selected", "none", artifact, f"of {len(compared)} candidates"))
        others = {name: parts for name, parts in compared.items() if name != winner}
        chosen = compared.get(winner, {})
        if others and winner:
            self._others(branch, others)
        for name, parts in {winner: chosen}.items() if winner else others.items():
            evaluation = parts.get("evaluation")
            if evaluation is not None:
                self._verdict(branch, name, evaluation, parts.get("blessing"))
            if "model" in parts:
                self._model(branch, parts["model"], "candidate", name)

    def _others(self, parent: Tree, others: dict[str, dict[str, Artifact]]) -> None:
        branch = parent.add(Text("other candidates", style="bold"))
        table = _table("candidate", "size", "gzip", "verdict")
        for name, parts in others.items():
            model, evaluation = parts.get("model"), parts.get("evaluation")
            properties = model.properties if model else {}
            found = facts.verdict(evaluation) if evaluation else Verdict(False, ("not judged",), ())
            _row(
                table,
                name,
                bytes_text(properties.get("bytes")),
                bytes_text(properties.get("gzip_bytes")),
                _outcome(found),
            )
        branch.add(table)

    def _judged(self, parent: Tree, artifact: Artifact, evaluator: Execution) -> None:
        """A verdict, and the model that it is about."""
        outputs = {key: found[0] for key, found in self._graph.outputs(evaluator.id).items()}
        evaluation = outputs.get("evaluation", artifact)
        self._verdict(parent, "", evaluation, outputs.get("blessing"))
        for model in _named(self._graph, evaluator, "model"):
            self._show(parent.children[-1], model, "candidate")

    def _verdict(
        self, parent: Tree, candidate: str, evaluation: Artifact, blessing: Artifact | None
    ) -> None:
        self._shown.add(evaluation.id)
        if blessing is not None:
            self._shown.add(blessing.id)
        found = facts.verdict(evaluation)
        judgements = found.judgements
        head = Text("blessing", style="bold")
        head.append(f" {_clean(candidate)}" if candidate else "")
        if blessing is not None and (blessing.properties.get("blessed") == 1) != found.blessed:
            # The blessing is what the Pusher goes by.
            passed = blessing.properties.get("blessed") == 1
            head.append(" passed" if passed else " did not pass", "green" if passed else "red")
            head.append(f" although {VERDICT_FILE} says otherwise", "bold red")
        else:
            head.append(
                " passed" if found.blessed else " did not pass", "green" if found.blessed else "red"
            )
        if judgements:
            met = len(judgements) - len(found.missed)
            head.append(f", {met} of {len(judgements)} limits met")
        ids = [artifact.id for artifact in (evaluation, blessing) if artifact is not None]
        head.append(f"  #{', #'.join(map(str, ids))}", "dim")
        branch = parent.add(head)
        evaluator = self._graph.producer(evaluation.id)
        self._made(branch, evaluator)
        self._measured(branch, evaluation, found.measured)
        for baseline in _named(self._graph, evaluator, "baseline"):
            branch.add(self._compared(baseline))
        if judgements:
            branch.add(_limits(judgements))
        # A wrong type has no column for what was found.
        told = {judgement.reason for judgement in judgements if judgement.kind is not Kind.TYPE}
        for reason in found.reasons:
            if reason not in told:
                branch.add(Text(_clean(reason), style="red"))

    def _measured(self, branch: Tree, evaluation: Artifact, measured: Measured) -> None:
        accuracy, latency = measured.accuracy, measured.latency
        parts = []
        if accuracy and accuracy.examples:
            titles = ", ".join(metric.title for metric in measured.metrics)
            parts.append(f"{titles} on {accuracy.examples:,} examples")
        if latency:
            parts.append(
                f"latency of {latency.repetitions} repetitions on {latency.cpu}, {latency.threads} thread"
                + ("" if latency.threads == 1 else "s")
            )
        if measured == Measured():
            names = ("accuracy", "baseline_accuracy", "latency_ratio", "bytes", "gzip_bytes")
            parts = [
                f"{name} {_value(evaluation.properties[name])}"
                for name in names
                if name in evaluation.properties
            ]
            parts.append(f"limits are not known, as {VERDICT_FILE} is gone")
        branch.add(_line("measured", "; ".join(parts)))

    def _compared(self, baseline: Artifact) -> Text:
        _, trained = facts.chain(self._graph, baseline)
        size = bytes_text(baseline.properties.get("bytes"))
        text = _line(
            "against", f"the baseline #{trained.id} as {baseline.properties.get('quantization', '')}"
        )
        return text.append(f" TFLite, {size}").append(f"  #{baseline.id}", "dim")

    def _model(self, parent: Tree, artifact: Artifact, role: str, name: str) -> None:
        """A model with the steps that made it, from the baseline on."""
        if artifact.id in self._shown:
            parent.add(_headline(role, name, artifact, "as above"))
            return
        steps, baseline = facts.chain(self._graph, artifact)
        if not steps:
            self._baseline(parent, baseline)
            return
        branch = parent.add(_headline(role, name, artifact, _size(artifact)))
        known = [index for index, (_, made) in enumerate(steps) if made.id in self._shown]
        first = known[-1] if known else -1
        if first >= 0:
            execution, made = steps[first]
            branch.add(_headline(f"steps 1 to {first + 1}", _technique(execution), made, "as above"))
        for index, (execution, made) in enumerate(steps[first + 1 :], first + 2):
            self._step(branch, index, execution, made)
        self._baseline(branch, baseline)

    def _step(self, parent: Tree, number: int, execution: Execution, artifact: Artifact) -> None:
        self._shown.add(artifact.id)
        branch = parent.add(_headline(f"step {number}", _technique(execution), artifact, _took(execution)))
        self._made(branch, execution)
        changed = facts.changed_parameters(execution)
        branch.add(_line("options", _options(changed) if changed else "all at their defaults"))
        self._results(branch, artifact)
        layers = facts.layers(artifact)
        if layers:
            branch.add(_layers(layers))
        self._files(branch, artifact)

    def _baseline(self, parent: Tree, artifact: Artifact) -> None:
        if artifact.id in self._shown:
            parent.add(_headline("baseline", "", artifact, "as above"))
            return
        self._shown.add(artifact.id)
        trainer = self._graph.producer(artifact.id)
        branch = parent.add(_headline("baseline", "", artifact, _took(trainer) if trainer else ""))
        if trainer is None:
            return
        self._made(branch, trainer)
        config = facts.training(trainer)
        if config:
            version = config.get("module_version")
            module = f"{config.get('model_module', '')}" + (f", version {version}" if version else "")
            branch.add(_line("model", module))
            hparams = facts.hparams(trainer)
            branch.add(_line("hparams", _options(hparams) if hparams else "none"))
            trunk = facts.pretrained(trainer)
            if trunk:
                branch.add(_line("pretrained", _pretrained(trunk)))
            changed = facts.changed_parameters(trainer)
            branch.add(_line("training", _options(changed) if changed else "all options at their defaults"))
            branch.add(_line("seed", str(facts.parameters(trainer).get("seed") or config.get("seed", ""))))
        imported = facts.imported(artifact)
        if imported is not None:
            branch.add(
                _line("imported from", f"{imported.path}, {imported.format}, sha256 {imported.sha256}")
            )
        self._results(branch, artifact)
        self._files(branch, artifact)
        inputs = [a for made in self._graph.inputs(trainer.id).values() for a in made]
        self._data(branch, inputs)

    def _results(self, branch: Tree, artifact: Artifact) -> None:
        """Figures of a model."""
        properties = artifact.properties
        trained = [
            f"{name.removeprefix('final_')} {_value(properties[name])}"
            for name in sorted(properties)
            if name.startswith("final_val_") or name == "final_loss"
        ]
        if "kept_epoch" in properties and trained:
            epochs = f"epoch {properties['kept_epoch']} of {properties.get('trained_epochs', '?')}"
            trained.append(epochs)
        figures = trained
        figures += facts.trained_on(properties)
        if "parameters" in properties:
            figures.append(f"{properties['parameters']:,} parameters")
        if "bytes" in properties:
            figures.append(_size(artifact))
        figures += [
            f"{name.replace('_', ' ')} {kind.layer_text(properties[name])}"
            for name, kind in facts.headlines().items()
            if name in properties
        ]
        if "max_error" in properties:
            figures.append(
                f"outputs at most {_value(properties['max_error'])} from the model's "
                f"({properties.get('compared_examples', '?')} examples)"
            )
        if properties.get("litert_error"):
            figures.append(f"does not run on LiteRT: {properties['litert_error']}")
        if figures:
            branch.add(_line("results", "; ".join(figures)))

    def _data(self, parent: Tree, artifacts: list[Artifact]) -> None:
        """Schema, statistics, examples and the like, with all that they were made from, each a branch."""
        waiting = [a for a in artifacts if a.type in facts.DATA_TYPES]
        found: dict[int, Artifact] = {}
        while waiting:
            artifact = waiting.pop()
            if artifact.id in found:
                continue
            found[artifact.id] = artifact
            producer = self._graph.producer(artifact.id)
            if producer is not None:
                waiting += [a for made in self._graph.inputs(producer.id).values() for a in made]
        # The newest is the most derived one, but for examples, which come last.
        ordered = sorted(
            found.values(),
            key=lambda a: (
                (facts.DATA_TYPES.index(a.type), -a.id) if a.type in facts.DATA_TYPES else (0, -a.id)
            ),
        )
        for artifact in ordered:
            if artifact.id in self._shown:
                parent.add(_headline(_ROLES.get(artifact.type, artifact.type), "", artifact, "as above"))
            else:
                self._datum(parent, artifact)

    def _datum(self, parent: Tree, artifact: Artifact) -> None:
        self._shown.add(artifact.id)
        producer = self._graph.producer(artifact.id)
        sources = []
        if producer is not None:
            inputs = [a for made in self._graph.inputs(producer.id).values() for a in made]
            sources = [f"#{i}" for i in sorted({a.id for a in inputs})]
        role = _ROLES.get(artifact.type, artifact.type)
        if producer is not None and producer.type == "SchemaGen":
            role = f"inferred {role}"
        branch = parent.add(_headline(role, "", artifact, f"from {', '.join(sources)}" if sources else ""))
        self._made(branch, producer)
        if artifact.type == "Schema":
            features = facts.features(artifact)
            if features:
                branch.add(_line("features", ", ".join(f"{name} {kind}" for name, kind in features)))
            for finding in facts.findings(artifact):
                branch.add(_line(finding.state, finding.line()))
        elif artifact.type == "ExampleStatistics":
            counts = facts.split_counts(artifact)
            if counts:
                branch.add(_line("examples", _counts(counts)))
        elif artifact.type == "Examples":
            self._examples(branch, artifact, producer)
        elif artifact.type == "ExampleAnomalies":
            blessed = facts.plain(artifact.properties.get("blessed"))
            if isinstance(blessed, dict):
                found = sorted(split for split, passed in blessed.items() if not passed)
                where = ", ".join(found or sorted(blessed))
                branch.add(_line("found in" if found else "none in", where))
        else:
            self._properties(branch, artifact)

    def _examples(self, branch: Tree, artifact: Artifact, producer: Execution | None) -> None:
        if producer is not None and producer.properties.get("input_base"):
            branch.add(_line("read from", str(producer.properties["input_base"])))
        counts = facts.example_counts(self._graph, artifact)
        if counts:
            branch.add(_line("examples", _counts(counts)))
        for split, parts in facts.fingerprint(artifact).items():
            text = ", ".join(f"{key} {value}" for key, value in parts.items())
            branch.add(_line("fingerprint", f"{split}: {text}"))
        digest, found = facts.data_document(self._graph, artifact, self._runs, self._documents)
        if found:
            branch.add(_line("data", f"sha256 {digest}"))
            for split in dict.fromkeys(file.split for file in found):
                files = [file for file in found if file.split == split]
                for file in files[:_LAYERS]:
                    branch.add(_line(split, f"{file.file}, {bytes_text(file.bytes)}, sha256 {file.sha256}"))
                if len(files) > _LAYERS:  # folders of images have one for each example
                    branch.add(_more(len(files) - _LAYERS, f"more files of {split}"))

    def _other(self, parent: Tree, artifact: Artifact) -> None:
        self._shown.add(artifact.id)
        producer = self._graph.producer(artifact.id)
        branch = parent.add(_headline(artifact.type, "", artifact))
        self._made(branch, producer)
        self._properties(branch, artifact)
        if producer is None:
            return
        inputs = {a.id: a for made in self._graph.inputs(producer.id).values() for a in made}
        for _, found in sorted(inputs.items(), reverse=True):
            if found.type not in facts.DATA_TYPES:
                self._show(branch, found)
        self._data(branch, list(inputs.values()))

    def _properties(self, branch: Tree, artifact: Artifact) -> None:
        for name, value in facts.own_properties(artifact).items():
            branch.add(_line(name, _value(value)))

    def _files(self, branch: Tree, artifact: Artifact, short: bool = True) -> None:
        found = facts.files(artifact)
        for path, digest in list(found.items())[:_LAYERS]:
            branch.add(_line("file", f"{path}, sha256 {digest[:12] + '…' if short else digest}"))
        if len(found) > _LAYERS:
            branch.add(_more(len(found) - _LAYERS, "more files"))

    def _made(self, branch: Tree, producer: Execution | None) -> None:
        if producer is None:
            return
        text = f"{producer.node or producer.type} #{producer.id}, {_time(producer.finished or producer.started)}"
        code = producer.properties.get("code_version") or facts.training(producer).get("code_version")
        if code:
            text += f", code {code}"
        elsewhere = [run for run in producer.runs if run not in self._run_ids]
        if elsewhere:
            text += f", in run {', '.join(elsewhere)}"
        if producer.state is not State.RAN:
            text += f" ({producer.state})"
        branch.add(_line("made by", text))

    def _run(self, branch: Tree, producer: Execution) -> None:
        """The run that made the root, with the decisions behind it."""
        for name in producer.runs:
            run = next((found for found in self._runs if found.id == name), None)
            head = Text("run", style="bold").append(f" {_clean(name)}", "cyan")
            node = branch.add(head.append(f" {run.status}" if run else ""))
            if run is None or not run.config_hash:
                node.add(Text("no record of config, code and environment", style="dim"))
                continue
            node.add(_line("config", f"{run.config_path}, sha256 {run.config_hash}"))
            commit = run.git_commit or "no Git repository"
            dirty = ", with changes that were not committed" if run.git_dirty else ""
            node.add(_line("code", f"Paredown {run.version}, commit {commit}{dirty}"))
            node.add(_line("seed", str(run.seed)))
            environment = self._documents.get(run.environment_hash)
            if environment:
                packages = environment.get("packages", {})
                named = ", ".join(f"{key} {packages[key]}" for key in sorted(packages))
                node.add(
                    _line("on", f"{environment.get('cpu', '')}, Python {environment.get('python', '')}")
                )
                node.add(_line("with", named))


_ROLES = {
    "Schema": "schema",
    "ExampleAnomalies": "anomalies",
    "ExampleStatistics": "statistics",
    "Examples": "examples",
    "TransformGraph": "transform",
}


class _Downstream:
    """What was made from artifacts, by kind and node, newest first."""

    def __init__(self, graph: Graph, newest: int):
        self._graph = graph
        self._newest = newest

    def tree(self, root: Artifact) -> Tree:
        """One root with all that was made from it."""
        return self.tree_of_all([root])

    def tree_of_all(self, roots: list[Artifact]) -> Tree:
        """Roots with all that was made from any of them."""
        head = Text()
        for root in roots:
            head.append("\n" if head else "")
            head.append_text(_headline(_ROLES.get(root.type, root.type), _name(root), root))
        top = Tree(head, guide_style="dim")
        made = {edge.artifact for edge in self._graph.edges if edge.output} - {root.id for root in roots}
        kinds: dict[str, list[Artifact]] = {}
        for number in sorted(made, reverse=True):
            artifact = self._graph.artifacts[number]
            kinds.setdefault(self._kind(artifact), []).append(artifact)
        if not made:
            top.add(Text("nothing was made from it", style="dim"))
        for kind in _KINDS:
            if kind in kinds:
                self._group(top, kind, kinds[kind])
        return top

    def _kind(self, artifact: Artifact) -> str:
        producer = self._graph.producer(artifact.id)
        maker = producer.type if producer else ""
        if artifact.type == "PushedModel":
            return "pushed versions"
        if artifact.type in facts.DATA_TYPES:
            return "statistics and schemas"
        if artifact.type == "ModelEvaluation":
            return "verdicts"
        if maker == "Selector":
            return "selections" if artifact.type not in ("Model", "ModelBlessing") else "rest"
        if artifact.type == "Model":
            if producer is not None and facts.step_options(producer) is None:
                return "baselines"
            return "TFLite models" if "quantization" in artifact.properties else "optimized models"
        return "rest"

    def _group(self, top: Tree, kind: str, artifacts: list[Artifact]) -> None:
        nodes: dict[str, list[Artifact]] = {}
        for artifact in artifacts:
            producer = self._graph.producer(artifact.id)
            nodes.setdefault((producer.node or producer.type) if producer else "", []).append(artifact)
        head = Text(kind, style="bold")
        summary = self._summary(kind, artifacts)
        head.append(f" {len(artifacts):,}" + (f": {summary}" if summary else ""))
        if kind == "rest":
            head.append("  " + ", ".join(sorted({a.type for a in artifacts})), "dim")
            top.add(head)
            return
        branch = top.add(head)
        for node, made in list(nodes.items())[:_GROUPS]:
            parent = branch
            if len(nodes) > 1 or len(made) > self._newest:
                own = self._summary(kind, made) if len(made) > 1 else ""
                title = Text(_clean(node), style="cyan").append(
                    f" {len(made):,}" + (f": {own}" if own else "")
                )
                parent = branch.add(title) if len(made) > 1 else branch
            for artifact in made[: self._newest]:
                parent.add(self._one(kind, artifact, node if parent is branch else ""))
            if len(made) > self._newest:
                parent.add(_more(len(made) - self._newest, "older"))
        if len(nodes) > _GROUPS:
            branch.add(_more(len(nodes) - _GROUPS, "more nodes"))

    def _summary(self, kind: str, artifacts: list[Artifact]) -> str:
        if kind != "verdicts":
            return ""
        passed = sum(artifact.properties.get("blessed") == 1 for artifact in artifacts)
        return f"{passed:,} passed, {len(artifacts) - passed:,} did not"

    def _one(self, kind: str, artifact: Artifact, node: str) -> Text:
        producer = self._graph.producer(artifact.id)
        text = Text(f"{_clean(node)} " if node else "", style="")
        name = _name(artifact)
        if name:
            text.append(f"{_clean(name)} ", "cyan")
        if kind == "verdicts":
            text.append_text(_outcome(facts.verdict(artifact))).append(" ")
        elif kind == "TFLite models":
            text.append(f"{_size(artifact)}, ")
        if producer is not None:
            text.append(_time(producer.finished or producer.started))
        if not artifact.live:
            text.append(" files are gone", "yellow")
        return text.append(f"  #{artifact.id}", "dim")


_KINDS = (
    "statistics and schemas",
    "baselines",
    "optimized models",
    "TFLite models",
    "verdicts",
    "selections",
    "pushed versions",
    "rest",
)


def _headline(role: str, name: str, artifact: Artifact, more: str = "") -> Text:
    text = Text(_clean(role), style="bold")
    if name:
        text.append(f" {_clean(name)}", "bold cyan")
    if more:
        text.append(f"  {_clean(more)}", "not bold")
    text.append(f"  #{artifact.id}", "not bold dim")
    if not artifact.live:
        text.append("  files are gone", "not bold yellow")
    return text


def _name(artifact: Artifact) -> str:
    for name in ("pushed_destination", "winner", "candidate"):
        if artifact.properties.get(name):
            return str(artifact.properties[name])
    return ""


def _named(graph: Graph, execution: Execution | None, key: str) -> list[Artifact]:
    """Inputs of an execution under one key."""
    return graph.inputs(execution.id).get(key, []) if execution is not None else []


def _version(artifact: Artifact) -> str:
    found = artifact.properties.get("pushed_version")
    return str(found) if found else os.path.basename(str(artifact.properties.get("pushed_destination", "")))


def _technique(execution: Execution) -> str:
    options = facts.step_options(execution)
    return options.technique if options else execution.type


def _limits(judgements: Iterable[Judgement]) -> Table:
    table = _table("figure", "bound", "measured", "limit", "met")
    for judgement in judgements:
        met = Text("yes", "green") if judgement.met else Text("no", "bold red")
        measured, allowed = _figures(judgement)
        _row(table, judgement.figure, judgement.bound, measured, allowed, met)
    return table


def _figures(judgement: Judgement) -> tuple[str, str]:
    """What was measured and what is allowed, as texts that differ if the numbers do."""
    value, limit = judgement.value, judgement.limit
    if judgement.bound == "type":
        return "", ""
    if value is None or limit is None:
        return _optional(value), _optional(limit)
    if judgement.kind in (Kind.SIZE, Kind.GZIP_SIZE) and judgement.bound != "max_ratio":
        texts = bytes_text(value), bytes_text(limit)
        if texts[0] != texts[1]:
            return texts
    return distinct(value, limit) if value != limit else (_value(value), _value(limit))


def _optional(value: Any) -> str:
    return "–" if value is None else _value(value)


def _row(table: Table, *cells: Any) -> None:
    """Adds texts as they are: brackets are not markup."""
    table.add_row(*(cell if isinstance(cell, Text) else Text(_clean(cell)) for cell in cells))


def _layers(found: Mapping[str, Mapping[str, Any]]) -> Table:
    # Figures of other invariants, of the layers that have to keep one.
    own = list(dict.fromkeys(figure for layer in found.values() for figure in layer.get("figures", {})))
    table = _table("layer", "type", "weights", "zeros", "distinct values", *own)
    for name, layer in list(found.items())[:_LAYERS]:
        figures = layer.get("figures", {})
        _row(
            table,
            name,
            layer.get("dtype", ""),
            f"{layer['weights']:,}" if "weights" in layer else "",
            f"{layer['sparsity']:.1%}" if "sparsity" in layer else "",
            f"{layer['unique']:,}" if "unique" in layer else "",
            *(_value(figures[figure]) if figures.get(figure) is not None else "" for figure in own),
        )
    if len(found) > _LAYERS:
        _row(table, _more(len(found) - _LAYERS, "more layers"))
    return table


_NUMERIC = frozenset({"size", "gzip", "measured", "limit", "weights", "zeros", "distinct values"})


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for name in names:
        justify: Any = "right" if name in _NUMERIC else "left"
        table.add_column(name, justify=justify, no_wrap=name in _NUMERIC, overflow="fold")
    return table


def _outcome(verdict: Verdict) -> Text:
    if verdict.blessed:
        return Text("passed", style="green")
    reasons = verdict.reasons
    text = Text("did not pass", style="red")
    if reasons:
        text.append(f": {_clean(reasons[0])}")
    if len(reasons) > 1:
        text.append(f" (and {len(reasons) - 1} more)")
    return text


def _line(name: str, text: str) -> Text:
    return Text(f"{_clean(name)} ", style="dim").append(_clean(text), "not dim")


def _more(count: int, what: str) -> Text:
    return Text(f"… and {count:,} {what}; --format json has all", style="dim")


def _options(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in values.items())


def _pretrained(options: Mapping[str, Any]) -> str:
    """The pretrained model that a baseline's first layers come from."""
    name = options.get("application") or ""
    file, digest = options.get("file"), options.get("sha256")
    origin = f"{file}, sha256 {digest}" if file else "random weights"
    cut = f", up to {options['cut_at']}" if options.get("cut_at") else ""
    return f"{name}{' ' if name else ''}{origin}{cut}"


def _value(value: Any) -> str:
    """A value as YAML people would write it in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return str(value)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in counts.items())


def _size(artifact: Artifact) -> str:
    properties = artifact.properties
    parts = [str(properties["quantization"])] if properties.get("quantization") else []
    if "bytes" in properties:
        parts.append(bytes_text(properties["bytes"]))
    if "gzip_bytes" in properties:
        parts.append(f"gzip {bytes_text(properties['gzip_bytes'])}")
    return ", ".join(parts)


def _took(execution: Execution) -> str:
    if execution.finished is None:
        return execution.state.value
    return duration_text((execution.finished - execution.started).total_seconds())


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _clean(text: Any) -> str:
    """A text in one line, without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in str(text))
