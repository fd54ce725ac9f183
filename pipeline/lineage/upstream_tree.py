"""What artifacts were made from, on screen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text
from rich.tree import Tree

from components.common.base.quantities import bytes_text
from components.evaluator.judgement import Kind
from components.evaluator.verdict import VERDICT_FILE, Verdict
from components.measurer.measured import Measured
from components.measurer.served_load import FIGURES as SERVED
from pipeline.lineage import facts
from pipeline.lineage.data_tree import DataTree
from pipeline.lineage.lines import (
    add_files,
    add_properties,
    add_tfjs,
    clean,
    headline,
    layer_table,
    limit_table,
    line,
    make_table,
    options_text,
    outcome,
    pretrained_text,
    row,
    size_text,
    time_text,
    took_text,
    value_text,
)
from pipeline.lineage.run_branch import run_branch
from pipeline.store.state import State

if TYPE_CHECKING:
    from pipeline.lineage.graph import Graph
    from pipeline.store.records import Artifact, Execution, Run

_OF_DEVICE = (
    *("memory_bytes", "flash_bytes", "same_prediction", "packed_flash_ratio", "packed_memory_ratio"),
    *("npu_cycles", "npu_sram_bytes", "npu_flash_bytes", *SERVED.values()),
)


class UpstreamTree:
    """What artifacts were made from. Each artifact is opened once."""

    def __init__(self, graph: Graph, runs: Sequence[Run], documents: Mapping[str, Mapping[str, Any]]):
        self._graph = graph
        self._runs = runs
        self._documents = documents
        self._shown: set[int] = set()
        self._run_ids: tuple[str, ...] = ()
        self._data = DataTree(graph, runs, documents, self._shown, self._made)

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
            for name in producer.runs:
                run = next((known for known in self._runs if known.id == name), None)
                found.add(run_branch(name, run, self._documents))
        return found

    def _show(self, parent: Tree, artifact: Artifact, role: str = "") -> None:
        if artifact.id in self._shown:
            parent.add(headline(role or artifact.type, "", artifact, "as above"))
            return
        producer = self._graph.producer(artifact.id)
        if artifact.type == "PushedModel":
            self._pushed(parent, artifact)
        elif producer is not None and producer.type == "Selector":
            self._selected(parent, artifact, producer)
        elif artifact.type in ("ModelEvaluation", "ModelBlessing") and producer is not None:
            self._judged(parent, artifact, producer)
        elif artifact.type in facts.DATA_TYPES:
            self._data.add(parent, [artifact])
        elif artifact.type == "Model":
            self._model(parent, artifact, role or "model", "")
        else:
            self._other(parent, artifact)

    def _pushed(self, parent: Tree, artifact: Artifact) -> None:
        self._shown.add(artifact.id)
        properties = artifact.properties
        destination = str(properties.get("pushed_destination", ""))
        if properties.get("pushed") != 1 and not destination:
            branch = parent.add(headline("nothing pushed", "", artifact, "no candidate passed"))
        else:
            branch = parent.add(headline("pushed model", destination, artifact))
            branch.add(line("version", _version(artifact)))
            add_tfjs(branch, properties)
        producer = self._graph.producer(artifact.id)
        self._made(branch, producer)
        add_files(branch, artifact, short=False)
        for models in _named(self._graph, producer, "model"):
            self._show(branch, models)

    def _selected(self, parent: Tree, artifact: Artifact, selector: Execution) -> None:
        """An output of a Selector: its model, blessing or report; each shows the selection."""
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
            branch = parent.add(headline("selected", winner, artifact, text))
        else:
            branch = parent.add(headline("selected", "none", artifact, f"of {len(compared)} candidates"))
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
        table = make_table("candidate", "size", "gzip", "verdict")
        for name, parts in others.items():
            model, evaluation = parts.get("model"), parts.get("evaluation")
            properties = model.properties if model else {}
            found = facts.verdict(evaluation) if evaluation else Verdict(False, ("not judged",), ())
            row(
                table,
                name,
                bytes_text(properties.get("bytes")),
                bytes_text(properties.get("gzip_bytes")),
                outcome(found),
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
        head.append(f" {clean(candidate)}" if candidate else "")
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
        for measurement in _named(self._graph, evaluator, "measurement"):
            self._shown.add(measurement.id)
            measurer = self._graph.producer(measurement.id)
            self._made(branch, measurer, "measured by")
            for predictions in _named(self._graph, measurer, "predictions"):
                self._shown.add(predictions.id)
                self._made(branch, self._graph.producer(predictions.id), "baseline predicted by")
        self._measured(branch, evaluation, found.measured)
        for baseline in _named(self._graph, evaluator, "baseline"):
            branch.add(self._compared(baseline))
        if judgements:
            branch.add(limit_table(judgements))
        # A wrong type has no column for what was found.
        reported = {judgement.reason for judgement in judgements if judgement.kind is not Kind.TYPE}
        for reason in found.reasons:
            if reason not in reported:
                branch.add(Text(clean(reason), style="red"))

    def _measured(self, branch: Tree, evaluation: Artifact, measured: Measured) -> None:
        accuracy, latency = measured.accuracy, measured.latency
        parts = []
        if accuracy and accuracy.examples:
            titles = ", ".join(metric.title for metric in measured.metrics)
            parts.append(f"{titles} on {accuracy.examples:,} examples")
        if latency:
            threads = "1 thread" if latency.threads == 1 else f"{latency.threads} threads"
            parts.append(f"latency of {latency.repetitions} repetitions on {latency.cpu}, {threads}")
        parts += [found.text for found in (measured.device, measured.load) if found]
        if measured == Measured():
            names = ("accuracy", "baseline_accuracy", "latency_ratio", "bytes", "gzip_bytes", *_OF_DEVICE)
            parts = [
                f"{name} {value_text(evaluation.properties[name])}"
                for name in names
                if name in evaluation.properties
            ]
            parts.append(f"limits are not known, as {VERDICT_FILE} is gone")
        branch.add(line("measured", "; ".join(parts)))

    def _compared(self, baseline: Artifact) -> Text:
        _, trained = facts.chain(self._graph, baseline)
        size = bytes_text(baseline.properties.get("bytes"))
        text = line(
            "against", f"the baseline #{trained.id} as {baseline.properties.get('quantization', '')}"
        )
        return text.append(f" TFLite, {size}").append(f"  #{baseline.id}", "dim")

    def _model(self, parent: Tree, artifact: Artifact, role: str, name: str) -> None:
        """A model with the steps that made it, from the baseline on."""
        if artifact.id in self._shown:
            parent.add(headline(role, name, artifact, "as above"))
            return
        steps, baseline = facts.chain(self._graph, artifact)
        if not steps:
            self._baseline(parent, baseline)
            return
        branch = parent.add(headline(role, name, artifact, size_text(artifact)))
        known = [index for index, (_, made) in enumerate(steps) if made.id in self._shown]
        first = known[-1] if known else -1
        if first >= 0:
            execution, made = steps[first]
            branch.add(headline(f"steps 1 to {first + 1}", _technique(execution), made, "as above"))
        for index, (execution, made) in enumerate(steps[first + 1 :], first + 2):
            self._step(branch, index, execution, made)
        self._baseline(branch, baseline)

    def _step(self, parent: Tree, number: int, execution: Execution, artifact: Artifact) -> None:
        self._shown.add(artifact.id)
        branch = parent.add(
            headline(f"step {number}", _technique(execution), artifact, took_text(execution))
        )
        self._made(branch, execution)
        changed = facts.changed_parameters(execution)
        branch.add(line("options", options_text(changed) if changed else "all at their defaults"))
        self._results(branch, artifact)
        for name, text in facts.layer_costs(artifact):
            branch.add(line(name, text))
        layers = facts.layers(artifact)
        if layers:
            branch.add(layer_table(layers))
        add_files(branch, artifact)

    def _baseline(self, parent: Tree, artifact: Artifact) -> None:
        if artifact.id in self._shown:
            parent.add(headline("baseline", "", artifact, "as above"))
            return
        self._shown.add(artifact.id)
        trainer = self._graph.producer(artifact.id)
        branch = parent.add(headline("baseline", "", artifact, took_text(trainer) if trainer else ""))
        if trainer is None:
            return
        self._made(branch, trainer)
        config = facts.training(trainer)
        if config:
            version = config.get("module_version")
            module = f"{config.get('model_module', '')}" + (f", version {version}" if version else "")
            branch.add(line("model", module))
            hparams = facts.hparams(trainer)
            branch.add(line("hparams", options_text(hparams) if hparams else "none"))
            trunk = facts.pretrained(trainer)
            if trunk:
                branch.add(line("pretrained", pretrained_text(trunk)))
            changed = facts.changed_parameters(trainer)
            branch.add(
                line("training", options_text(changed) if changed else "all options at their defaults")
            )
            branch.add(line("seed", str(facts.parameters(trainer).get("seed") or config.get("seed", ""))))
        imported = facts.imported(artifact)
        if imported is not None:
            branch.add(
                line("imported from", f"{imported.path}, {imported.format}, sha256 {imported.sha256}")
            )
        self._results(branch, artifact)
        add_files(branch, artifact)
        inputs = [a for made in self._graph.inputs(trainer.id).values() for a in made]
        self._data.add(branch, inputs)

    def _results(self, branch: Tree, artifact: Artifact) -> None:
        """Figures of a model."""
        properties = artifact.properties
        trained = [
            f"{name.removeprefix('final_')} {value_text(properties[name])}"
            for name in sorted(properties)
            if name.startswith("final_val_") or name == "final_loss"
        ]
        if "kept_epoch" in properties and trained:
            epochs = f"epoch {properties['kept_epoch']} of {properties.get('trained_epochs', '?')}"
            trained.append(epochs)
        figures = trained
        figures += facts.trained_on(properties)
        figures += facts.federated(properties)
        if "parameters" in properties:
            figures.append(f"{properties['parameters']:,} parameters")
        if "bytes" in properties:
            figures.append(size_text(artifact))
        figures += [
            f"{name.replace('_', ' ')} {kind.layer_text(properties[name])}"
            for name, kind in facts.headlines().items()
            if name in properties
        ]
        if "max_error" in properties:
            figures.append(
                f"outputs at most {value_text(properties['max_error'])} from the model's "
                f"({properties.get('compared_examples', '?')} examples)"
            )
        if properties.get("litert_error"):
            figures.append(f"does not run on LiteRT: {properties['litert_error']}")
        if figures:
            branch.add(line("results", "; ".join(figures)))

    def _other(self, parent: Tree, artifact: Artifact) -> None:
        self._shown.add(artifact.id)
        producer = self._graph.producer(artifact.id)
        branch = parent.add(headline(artifact.type, "", artifact))
        self._made(branch, producer)
        add_properties(branch, artifact)
        if producer is None:
            return
        inputs = {a.id: a for made in self._graph.inputs(producer.id).values() for a in made}
        for _, found in sorted(inputs.items(), reverse=True):
            if found.type not in facts.DATA_TYPES:
                self._show(branch, found)
        self._data.add(branch, list(inputs.values()))

    def _made(self, branch: Tree, producer: Execution | None, how: str = "made by") -> None:
        if producer is None:
            return
        text = f"{producer.node or producer.type} #{producer.id}, {time_text(producer.finished or producer.started)}"
        code = producer.properties.get("code_version") or facts.training(producer).get("code_version")
        if code:
            text += f", code {code}"
        elsewhere = [run for run in producer.runs if run not in self._run_ids]
        if elsewhere:
            text += f", in run {', '.join(elsewhere)}"
        if producer.state is not State.RAN:
            text += f" ({producer.state})"
        branch.add(line(how, text))


def _named(graph: Graph, execution: Execution | None, key: str) -> list[Artifact]:
    """Inputs of an execution under one key."""
    return graph.inputs(execution.id).get(key, []) if execution is not None else []


def _version(artifact: Artifact) -> str:
    found = artifact.properties.get("pushed_version")
    return str(found) if found else os.path.basename(str(artifact.properties.get("pushed_destination", "")))


def _technique(execution: Execution) -> str:
    options = facts.step_options(execution)
    return options.technique if options else execution.type
