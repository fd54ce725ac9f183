"""Lineage as a tree on screen."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from components.evaluator.judgement import (
    FailureKind,
    Figure,
    Judgement,
    Kind,
    accuracy_figure,
    size_figure,
)
from components.evaluator.judging import conclude, judge_figure
from components.evaluator.verdict import Verdict
from pipeline.lineage import facts
from pipeline.lineage import lines as lineage_lines
from pipeline.lineage import tree as lineage_tree
from pipeline.lineage.graph import Graph
from pipeline.lineage.target import Note
from pipeline.store.records import Artifact, Edge
from tests.pipeline.lineage_example import (
    DIGEST,
    EARLIER,
    RUN,
    TEST,
    TRAIN,
    Example,
    GraphBuilder,
    example,
    step,
)


def shown(renderable: object, width: int = 200) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(renderable)
    return stream.getvalue()


def upstream(found: Example, width: int = 200, **options: object) -> str:
    return shown(lineage_tree.tree(found.graph, [found.run], documents=found.documents, **options), width)


def lines_with(text: str, part: str) -> list[str]:
    return [line.strip("│ ├─└") for line in text.splitlines() if part in line]


def rows(text: str) -> list[list[str]]:
    return [line.strip("│ ├─└").split() for line in text.splitlines()]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return example(tmp_path_factory.mktemp("example"))


@pytest.fixture
def fresh(tmp_path: Path) -> Example:
    """One whose files a test may change."""
    return example(tmp_path)


def test_a_pushed_model_leads_to_the_data_in_the_order_of_the_story(found: Example) -> None:
    text = upstream(found)
    parts = [
        "pushed model /serving/mnist/1795352218",
        f"file tflite, sha256 {DIGEST}",
        "selected pruned-int8  of 2 candidates, minimize gzip_size",
        "blessing pruned-int8 passed, 4 of 4 limits met",
        "candidate pruned-int8  int8, 819.4 kB, gzip 254.7 kB",
        "step 1 prune",
        "step 2 convert",
        "baseline",
        "schema  from #3",
        "inferred schema  from #2",
        "statistics  from #1",
        "read from /data/mnist",
        "examples 60,000 train, 10,000 eval",
        f"eval test.tfrecord.gz, 2.1 MB, sha256 {TEST}",
        f"train train.tfrecord.gz, 12.4 MB, sha256 {TRAIN}",
        f"run {RUN} pushed",
        "commit ef409aaaa3ae1a483bac64473e283631ae4814cc, with changes that were not committed",
        "with tensorflow 2.16.2, tfx 1.16.0",
    ]
    places = []
    for part in parts:
        assert part in text
        places.append(text.index(part, places[-1] if places else 0))
    assert places == sorted(places)


def test_every_limit_is_a_row_with_its_whole_name(found: Example) -> None:
    table = rows(upstream(found))
    assert ["size", "max_ratio", "0.2517", "0.3", "yes"] in table
    # Text in brackets would vanish as markup.
    assert ["sparsity[conv1]", "min", "0.7986", "0.8", "(tolerance", "0.005)", "yes"] in table
    assert ["accuracy[label=2]", "max_drop", "-0.001", "0.02", "yes"] in table
    assert ["input[image]", "type", "yes"] in table


def test_a_verdict_of_numbers_that_round_to_the_same_shows_more_digits() -> None:
    (missed,) = judge_figure(accuracy_figure("AUC"), {"min": 0.975}, 0.97499999, None, ascending=True)
    assert ["accuracy", "min", "0.97499999", "0.975", "no"] in rows(
        shown(lineage_lines.limit_table([missed]))
    )


def test_options_that_are_at_their_defaults_are_left_out(found: Example) -> None:
    text = upstream(found)
    assert lines_with(text, "options ") == ["options sparsity 0.8", "options quantization int8"]
    assert lines_with(text, "training ") == ["training epochs 4"]
    assert lines_with(text, "hparams ") == ["hparams filters [16, 32], units 512"]


def test_options_that_a_step_does_not_have_any_more_are_shown(tmp_path: Path) -> None:
    build = GraphBuilder(tmp_path)
    params = json.dumps({"sparsity": 0.5, "epochs": None, "obsolete": True})
    build.node("prune", "Pruner", {}, {"model": ("Model", {})}, {"params": params})
    changed = facts.changed_parameters(build.executions[1])
    assert changed == {"sparsity": 0.5, "obsolete": True}


@pytest.mark.parametrize(
    ("properties", "reported"),
    [
        ({}, []),
        ({"distribution": "none", "replicas": 1, "precision": "float32", "precision_asked": "float32"}, []),
        ({"distribution": "mirrored", "replicas": 4}, ["mirrored on 4 replicas"]),
        ({"distribution": "mirrored", "replicas": 1}, ["mirrored on 1 replica"]),
        ({"precision": "mixed_float16", "precision_asked": "mixed_float16"}, ["precision mixed_float16"]),
        (
            {"precision": "float32", "precision_asked": "mixed_float16"},
            ["precision float32, as there was no device for mixed_float16"],
        ),
    ],
)
def test_what_a_training_was_distributed_among_is_reported(properties: dict, reported: list[str]) -> None:
    assert facts.trained_on(properties) == reported


def test_layers_are_shown_as_measured(found: Example) -> None:
    text = upstream(found)
    assert rows(text).count(["conv1", "int8", "144", "79.9%", "15"]) == 2  # after prune, after convert
    assert ["dense", "int8", "802,816", "80.0%", "210"] in rows(text)


def test_what_was_shown_once_is_referred_to_after(tmp_path: Path) -> None:
    text = upstream(example(tmp_path, winner=""))
    assert "selected none  of 2 candidates" in text
    assert text.count("candidate pruned-int8") == 1 and text.count("candidate distilled-int8") == 1
    assert text.count("hparams ") == 1 and text.count("read from ") == 1
    assert lines_with(text, "as above") == ["baseline  as above  #5"]


def test_candidates_that_share_steps_show_those_once(tmp_path: Path) -> None:
    build = GraphBuilder(tmp_path)
    (baseline,) = build.node("Trainer", "Trainer", {}, {"model": ("Model", {})})
    model = {"model": ("Model", {})}
    (pruned,) = build.node("prune", "Pruner", {"base_model": baseline}, model, step("prune", sparsity=0.8))
    ends = [
        build.node(
            name, "TFLiteConverter", {"base_model": pruned}, model, step("convert", quantization=name)
        )[0]
        for name in ("int8", "float16")
    ]
    text = shown(lineage_tree.tree(build.graph(*ends)))
    assert text.count("options sparsity 0.8") == 1
    assert f"steps 1 to 1 prune  as above  #{pruned}" in text
    assert "step 2 convert" in text.partition("as above")[2]


def test_a_run_without_a_winner_shows_the_missed_limit_of_every_candidate(tmp_path: Path) -> None:
    found = example(tmp_path, winner="")
    table = rows(upstream(found))
    assert table.count(["accuracy", "min", "0.9678", "0.975", "no"]) == 2
    assert "did not pass, 4 of 5 limits met" in upstream(found)


def test_candidates_that_were_not_selected_are_one_row_each(found: Example) -> None:
    row = lines_with(upstream(found), "distilled-int8")
    assert row == ["distilled-int8   6.5 kB   4.3 kB   did not pass: accuracy 0.9678 is below 0.975"]


def test_a_verdict_whose_file_is_gone_is_taken_from_ml_metadata(fresh: Example) -> None:
    shutil.rmtree(fresh.artifact("pruned-int8-evaluate", "evaluation").uri)
    text = upstream(fresh)
    assert "blessing pruned-int8 passed  #" in text
    assert "accuracy 0.987; limits are not known, as verdict.json is gone" in text


def test_a_blessing_that_the_verdict_contradicts_is_reported(fresh: Example) -> None:
    file = Path(fresh.artifact("pruned-int8-evaluate", "evaluation").uri) / "verdict.json"
    verdict = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**verdict, "blessed": False}), encoding="utf-8")
    assert "blessing pruned-int8 passed although verdict.json says otherwise" in upstream(fresh)


def test_the_reason_of_a_type_that_is_not_as_asked_is_shown(fresh: Example) -> None:
    file = Path(fresh.artifact("pruned-int8-evaluate", "evaluation").uri) / "verdict.json"
    reason = "input image is float32, int8 was asked for"
    figure = Figure("input[image]", Kind.TYPE, aspect="input", tensor="image")
    conclude([Judgement.on(figure, "type", None, None, reason, FailureKind.WRONG_TYPE)]).write(file)
    assert reason in upstream(fresh)


def test_limits_on_bytes_are_shown_in_bytes() -> None:
    limits = [Judgement.on(size_figure(of), "max", 300_000, 254_698) for of in ("file", "gzip")]
    found = [" ".join(row) for row in rows(shown(lineage_lines.limit_table(limits)))]
    assert found[-2:] == ["size max 254.7 kB 300.0 kB yes", "gzip size max 254.7 kB 300.0 kB yes"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"reasons": []}', '{"schema_version": 99}'],
    ids=["empty", "a list", "cut", "no verdict", "newer"],
)
def test_a_verdict_that_cannot_be_read_is_taken_from_ml_metadata(fresh: Example, content: str) -> None:
    evaluation = fresh.artifact("pruned-int8-evaluate", "evaluation")
    (Path(evaluation.uri) / "verdict.json").write_text(content, encoding="utf-8")
    assert facts.verdict(evaluation) == Verdict(True, (), ())


def test_notes_are_on_top(found: Example) -> None:
    notes = [Note("tampered", "tflite is not what was pushed"), Note("ok", "the store can be read")]
    assert upstream(found, notes=notes).splitlines()[:2] == [
        "TAMPERED: tflite is not what was pushed",
        "ok: the store can be read",
    ]


def test_nodes_of_an_earlier_run_name_it(found: Example) -> None:
    named = lines_with(upstream(found), f"in run {EARLIER}")
    assert [line.split()[2] for line in named] == ["SchemaGen", "StatisticsGen", "ImportExampleGen"]


def test_a_run_that_left_no_record_says_so(found: Example) -> None:
    bare = dataclasses.replace(found.run, config_hash="", recorded=False)
    text = shown(lineage_tree.tree(found.graph, [bare]))
    assert "no record of config, code and environment" in text
    assert "sha256 " + TRAIN not in text


def test_artifacts_whose_files_are_gone_are_marked(found: Example) -> None:
    root = found.graph.roots[0]
    gone = dataclasses.replace(found.graph.artifacts[root], live=False)
    graph = dataclasses.replace(found.graph, artifacts={**found.graph.artifacts, root: gone})
    assert "#18  files are gone" in shown(lineage_tree.tree(graph)).splitlines()[0]


def test_texts_of_the_store_do_not_reach_the_terminal_as_commands(found: Example) -> None:
    root = found.graph.roots[0]
    evil = found.graph.artifacts[root].properties | {"pushed_destination": "/a\x1b[31m\n[bold]b"}
    changed = dataclasses.replace(found.graph.artifacts[root], properties=evil)
    graph = dataclasses.replace(found.graph, artifacts={**found.graph.artifacts, root: changed})
    first = shown(lineage_tree.tree(graph)).splitlines()[0]
    assert first == "pushed model /a [31m [bold]b  #18"


@pytest.mark.parametrize(
    ("node", "key", "first"),
    [
        ("Selector", "report", "selected pruned-int8"),
        ("Selector", "model", "selected pruned-int8"),
        ("pruned-int8-evaluate", "blessing", "blessing passed, 4 of 4 limits met"),
        ("prune-convert", "model", "model  int8, 819.4 kB"),
        ("Trainer", "model", "baseline"),
        ("AnomalyGate", "schema", "schema  from #3"),
        ("ImportExampleGen", "examples", "examples  #1"),
    ],
)
def test_any_artifact_can_be_the_root(found: Example, node: str, key: str, first: str) -> None:
    graph = dataclasses.replace(found.graph, roots=(found.artifact(node, key).id,))
    text = shown(lineage_tree.tree(graph, [found.run], documents=found.documents))
    assert text.startswith(first)
    assert f"train train.tfrecord.gz, 12.4 MB, sha256 {TRAIN}" in text


def test_a_folder_of_images_is_not_listed_to_its_end(found: Example) -> None:
    files = [{"file": f"cat/{n:03}.png", "bytes": 9, "sha256": f"{n:064x}"} for n in range(100)]
    documents = {
        **found.documents,
        "d" * 64: {"eval": files[:60], "train": [{**files[99], "file": "dog/last.png"}]},
    }
    text = shown(lineage_tree.tree(found.graph, [found.run], documents=documents))
    assert len(lines_with(text, "eval cat/")) == 24
    assert lines_with(text, "more files of eval") == ["… and 36 more files of eval; --format json has all"]
    assert len(lines_with(text, "train dog/last.png")) == 1


def test_an_artifact_that_nothing_made_is_shown_with_what_it_has() -> None:
    graph = Graph((1,), {1: Artifact(1, "Mystery", "/gone", True, {"size": 3, "is_external": 1})}, {}, ())
    assert shown(lineage_tree.tree(graph)).splitlines() == ["Mystery  #1", "└── size 3"]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(found: Example, width: int) -> None:
    text = upstream(found, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text.replace(f"{DIGEST[:12]}…", "")
    squeezed = "".join(line.strip("│ ├─└") for line in text.splitlines())
    assert TRAIN in squeezed.replace(" ", "")


def test_downstream_groups_by_kind_and_node(found: Example) -> None:
    graph = dataclasses.replace(found.graph, roots=(1,))
    text = shown(lineage_tree.tree(graph, [found.run], down=True))
    assert text.splitlines()[0] == "examples  #1"
    heads = [line.strip("├─└ ") for line in text.splitlines() if line.startswith(("├", "└"))]
    assert heads == [
        "statistics and schemas 3",
        "baselines 1",
        "optimized models 2",
        "TFLite models 3",
        "verdicts 2: 1 passed, 1 did not",
        "selections 1",
        "pushed versions 1",
        "rest 4  Model, ModelBlessing",
    ]
    assert "Pusher /serving/mnist/1795352218 2026-11-22 12:48:25 UTC  #18" in text


def test_thousands_of_descendants_stay_readable(tmp_path: Path) -> None:
    build = GraphBuilder(tmp_path)
    (examples,) = build.node("ImportExampleGen", "ImportExampleGen", {}, {"examples": ("Examples", {})})
    graph = build.graph(examples)
    made = build.executions[1]
    count = 5000
    artifacts, executions, edges = dict(graph.artifacts), dict(graph.executions), list(graph.edges)
    for number in range(2, count + 2):
        artifacts[number] = Artifact(number, "Model", "/gone", True, {})
        executions[number] = dataclasses.replace(made, id=number, type="Trainer", node="Trainer")
        edges += [Edge(number, 1, "examples", False), Edge(number, number, "model", True)]
    text = shown(lineage_tree.tree(Graph((1,), artifacts, executions, tuple(edges)), down=True))
    lines = text.splitlines()
    assert len(lines) < 12
    assert "baselines 5,000" in text and "… and 4,995 older" in text
    assert [line for line in lines if "#" in line][1].endswith(f"#{count + 1}")  # the newest first


def test_downstream_of_what_nothing_was_made_from(found: Example) -> None:
    graph = Graph((18,), {18: found.graph.artifacts[18]}, {}, ())
    assert "nothing was made from it" in shown(lineage_tree.tree(graph, down=True))


def test_a_verdict_names_the_measurement_that_it_is_on(tmp_path: Path) -> None:
    found = example(tmp_path, measured=True)
    old = example(tmp_path / "old")
    text = upstream(found)
    (measurement,) = found.graph.inputs(producer_of_winner(found.graph))["measurement"]
    (by,) = lines_with(text, "measured by")
    maker = found.graph.producer(measurement.id)
    assert by.startswith(f"measured by pruned-int8-measure #{maker.id}, ")
    assert by.endswith(", code 0a1b2c3d4e5f")
    assert "measured by" not in upstream(old)
    (predicted,) = lines_with(text, "baseline predicted by")
    assert predicted.startswith("baseline predicted by convert-float32-predict #")
    assert predicted.endswith(", code 5e6f7a8b9c0d")
    limits = lines_with(text, " max_ratio ")
    assert limits and limits == lines_with(upstream(old), " max_ratio ")

    graph = dataclasses.replace(found.graph, roots=(1,))
    heads = [line.strip("├─└ ") for line in shown(lineage_tree.tree(graph, down=True)).splitlines()]
    assert "baseline's predictions 1" in heads
    assert "measurements 2" in heads and "verdicts 2: 1 passed, 1 did not" in heads


def producer_of_winner(graph: Graph) -> int:
    """The execution that judged the candidate that is pushed."""
    return next(e.id for e in graph.executions.values() if e.node == "pruned-int8-evaluate")
