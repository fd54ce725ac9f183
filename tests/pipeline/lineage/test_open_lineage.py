"""OpenLineage events, checked against OpenLineage's own JSON schemas."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from referencing import Registry, Resource

from pipeline.lineage import open_lineage
from pipeline.store.state import State
from tests.pipeline.lineage_example import DIGEST, RUN, TEST, TRAIN, Example, example

SPEC = Path(__file__).parents[2] / "data" / "openlineage"
OWN = Path(open_lineage.__file__).parent / "open_lineage_facets.json"
CORE = "https://openlineage.io/spec/{}/OpenLineage.json"
STORE = "sqlite:///somewhere/metadata.sqlite"

_FORMATS = FormatChecker(formats=["uuid"])


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_FORMATS.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or value.split(":")[0] in ("https", "urn")


@cache
def schemas() -> tuple[Registry, dict[str, str]]:
    """All schemas by their URI, and facet → URI of its own."""
    core = Resource.from_contents(json.loads((SPEC / "OpenLineage-2-0-2.json").read_text(encoding="utf-8")))
    registry = Registry().with_resources(
        [(CORE.format(version), core) for version in ("2-0-2", "1-0-1", "1-0-2", "1-0-3")]
    )
    facets: dict[str, str] = {}
    for file in [*sorted(SPEC.glob("*Facet-*.json")), OWN]:
        content = json.loads(file.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(content)
        registry = registry.with_resource(content["$id"], Resource.from_contents(content))
        kind = "job/" if "JobFacet" in file.name else ""
        for name in content["properties"]:
            facets[kind + name] = f"{content['$id']}#/properties/{name}"
    return registry, facets


@cache
def validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": schema}, registry=schemas()[0], format_checker=_FORMATS)


def validate(event: dict[str, Any]) -> int:
    """Raises a ValidationError if an event or one of its facets is not valid; counts the facets."""

    def check(value: Any, schema: str) -> None:
        # The first error, not the best one, which takes long to find.
        for error in validator(schema).iter_errors(value):
            raise error

    check(event, CORE.format("2-0-2"))
    check(event, CORE.format("2-0-2") + "#/$defs/RunEvent")
    count = 0
    for kind, name, facet in facets_of(event):
        own = schemas()[1][kind + name]  # a KeyError: a facet without a schema
        check(facet, own)
        # The schema that the facet names is the one that it was checked by, but for its version.
        assert facet["_schemaURL"].rpartition("/")[2] == _definition(own)
        count += 1
    return count


@cache
def _definition(schema: str) -> str:
    registry, _ = schemas()
    found = registry.resolver().lookup(schema).contents
    return found["$ref"].rpartition("/")[2]


def facets_of(event: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    datasets = [*event["inputs"], *event["outputs"]]
    for kind, found in (
        ("", event["run"]["facets"]),
        ("job/", event["job"]["facets"]),
        *(
            ("", dataset.get(name, {}))
            for dataset in datasets
            for name in ("facets", "inputFacets", "outputFacets")
        ),
    ):
        for name, facet in found.items():
            yield kind, name, facet


def events(found: Example, **changes: Any) -> list[dict[str, Any]]:
    run = dataclasses.replace(found.run, **changes)
    lines = open_lineage.write_events(found.graph, STORE, [run], found.documents)
    assert not any("\n" in line for line in lines)
    return [json.loads(line) for line in lines]


def of(found: list[dict[str, Any]], job: str, kind: str) -> dict[str, Any]:
    (event,) = [e for e in found if e["job"]["name"] == job and e["eventType"] == kind]
    return event


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return example(tmp_path_factory.mktemp("example"))


def test_every_event_and_facet_is_valid(found: Example) -> None:
    counts = [validate(event) for event in events(found)]
    assert len(counts) == 2 * (1 + 14)
    assert min(counts) >= 3


def test_the_facets_that_are_checked_are_all_that_there_are_schemas_of(found: Example) -> None:
    written = {
        kind + name for event in events(found, status=State.FAILED) for kind, name, _ in facets_of(event)
    }
    assert written == set(schemas()[1])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("producer",), None),
        (("schemaURL",), None),
        (("eventTime",), "yesterday"),
        (("eventTime",), "2026-11-22T12:48:25"),
        (("eventType",), "DONE"),
        (("run", "runId"), "63"),
        (("job", "name"), None),
        (("job", "facets", "jobType", "_producer"), None),
        (("job", "facets", "jobType", "processingType"), None),
        (("run", "facets", "parent", "run", "runId"), "63"),
        (("run", "facets", "paredown_execution", "_schemaURL"), None),
        (("run", "facets", "paredown_execution", "state"), "fine"),
        (("run", "facets", "paredown_execution", "id"), "11"),
        (("inputs", 0, "name"), None),
        (("outputs", 0, "facets", "version", "datasetVersion"), 11),
        (("outputs", 0, "facets", "paredown_artifact", "live"), "yes"),
        (("inputs", -2, "inputFacets", "dataQualityAssertions", "assertions", 0, "success"), "true"),
    ],
    ids=lambda value: "/".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_a_broken_event_is_not_valid(found: Example, path: tuple[Any, ...], value: Any) -> None:
    event = of(events(found), "mnist.pruned-int8-evaluate", "COMPLETE")
    event["inputs"].sort(key=lambda dataset: "dataQualityAssertions" in dataset["inputFacets"])
    event["inputs"].append(event["inputs"][0])  # the candidate is the last but one
    broken = copy.deepcopy(event)
    target: Any = broken
    for key in path[:-1]:
        target = target[key]
    assert target[path[-1]] is not None
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    validate(event)
    with pytest.raises(ValidationError):
        validate(broken)


def test_every_execution_begins_and_ends_in_the_order_of_time(found: Example) -> None:
    written = events(found)
    times = [datetime.fromisoformat(event["eventTime"]) for event in written]
    assert times == sorted(times)
    jobs = [(event["job"]["name"], event["eventType"]) for event in written]
    assert jobs[0] == ("mnist", "START") and jobs[-1] == ("mnist", "COMPLETE")
    for execution in found.graph.executions.values():
        first = jobs.index((f"mnist.{execution.node}", "START"))
        last = jobs.index((f"mnist.{execution.node}", "COMPLETE"))
        assert first < last
        assert written[first]["run"]["runId"] == written[last]["run"]["runId"]


def test_ids_are_made_from_the_store_and_the_ids_in_it(found: Example) -> None:
    lines = open_lineage.write_events(found.graph, STORE, [found.run], found.documents)
    assert lines == open_lineage.write_events(found.graph, STORE, [found.run], found.documents)
    start = of([json.loads(line) for line in lines], "mnist.Pusher", "START")
    assert start["run"]["runId"] == str(uuid.uuid5(uuid.NAMESPACE_URL, f"{STORE}#execution/14"))
    other = open_lineage.write_events(found.graph, STORE + "2", [found.run], found.documents)
    ids = [{json.loads(line)["run"]["runId"] for line in some} for some in (lines, other)]
    assert len(ids[0]) == 15 and not ids[0] & ids[1]


def test_the_store_and_its_password_are_not_written(found: Example) -> None:
    lines = open_lineage.write_events(
        found.graph, "mysql://somebody:secret@host/db", [found.run], found.documents
    )
    assert not any("secret" in line or "somebody" in line for line in lines)


def test_the_run_is_the_parent_of_its_executions(found: Example) -> None:
    written = events(found)
    parent = of(written, "mnist.Pusher", "START")["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == of(written, "mnist", "START")["run"]["runId"]
    assert parent["job"] == {"namespace": "paredown", "name": "mnist", "facets": {}}
    cached = of(written, "mnist.StatisticsGen", "START")["run"]["facets"]["parent"]
    assert cached["run"]["runId"] not in {event["run"]["runId"] for event in written}  # of an earlier run


def test_datasets_are_named_by_their_folders_and_connect_executions(found: Example) -> None:
    written = events(found)
    model = found.artifact("prune-convert", "model")
    name = {"namespace": "file", "name": model.uri}
    outputs = of(written, "mnist.prune-convert", "COMPLETE")["outputs"]
    inputs = of(written, "mnist.pruned-int8-evaluate", "START")["inputs"]
    assert name in [{key: dataset[key] for key in name} for dataset in outputs]
    assert name in [{key: dataset[key] for key in name} for dataset in inputs]
    assert of(written, "mnist.prune-convert", "START")["outputs"] == []
    (pushed,) = of(written, "mnist.Pusher", "COMPLETE")["outputs"]
    assert (pushed["namespace"], pushed["name"]) == ("file", "/serving/mnist/1795352218")
    assert pushed["facets"]["version"]["datasetVersion"] == DIGEST


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/a/b", ("file", "/a/b")),
        ("file:///a/b", ("file", "/a/b")),
        ("/a/b#c?d", ("file", "/a/b#c?d")),
        ("gs://bucket/a/b", ("gs://bucket", "a/b")),
        ("s3://bucket/a", ("s3://bucket", "a")),
        ("hdfs://host:8020/a", ("hdfs://host:8020", "/a")),
    ],
)
def test_names_follow_the_rules_for_their_scheme(uri: str, name: tuple[str, str]) -> None:
    assert open_lineage.dataset_name(uri) == name


def test_the_data_files_are_what_everything_begins_with(found: Example) -> None:
    inputs = of(events(found), "mnist.ImportExampleGen", "COMPLETE")["inputs"]
    assert {file["name"]: file["facets"]["version"]["datasetVersion"] for file in inputs} == {
        "/data/mnist/train.tfrecord.gz": TRAIN,
        "/data/mnist/test.tfrecord.gz": TEST,
    }


@pytest.mark.parametrize(
    ("directory", "file", "name"),
    [
        ("/projects", "data/p.h5", "/projects/data/p.h5"),
        ("/projects", "../p.h5", "/p.h5"),
        ("/projects", "/models/p.h5", "/models/p.h5"),
        ("", "data/p.h5", "data/p.h5"),
    ],
)
def test_the_pretrained_file_has_its_whole_path_if_the_run_recorded_its_folder(
    found: Example, directory: str, file: str, name: str
) -> None:
    (trainer,) = (e for e in found.graph.executions.values() if e.type == "Trainer")
    source = {"model_source": json.dumps({"pretrained": {"file": file, "sha256": DIGEST}})}
    trainer = dataclasses.replace(trainer, properties={"custom_config": json.dumps(source)})
    graph = dataclasses.replace(found.graph, executions={**found.graph.executions, trainer.id: trainer})
    run = dataclasses.replace(found.run, directory=directory)
    lines = open_lineage.write_events(graph, STORE, [run])
    inputs = of([json.loads(line) for line in lines], "mnist.Trainer", "COMPLETE")["inputs"]
    assert [data["name"] for data in inputs if data["name"].endswith("p.h5")] == [name]


def test_without_a_list_of_files_the_folder_has_tfx_fingerprint(found: Example) -> None:
    lines = open_lineage.write_events(found.graph, STORE)
    (folder,) = of([json.loads(line) for line in lines], "mnist.ImportExampleGen", "COMPLETE")["inputs"]
    assert folder["name"] == "/data/mnist"
    assert folder["facets"]["version"]["datasetVersion"].startswith("split:train,num_files:1,")


def test_examples_have_their_features_and_their_number(found: Example) -> None:
    (examples,) = of(events(found), "mnist.ImportExampleGen", "COMPLETE")["outputs"]
    fields = examples["facets"]["schema"]["fields"]
    assert [(field["name"], field["type"]) for field in fields] == [
        ("image", "INT [784]"),
        ("label", "INT [1]"),
    ]
    assert examples["outputFacets"]["outputStatistics"]["rowCount"] == 70000


def test_the_limits_are_assertions_on_the_candidate(found: Example) -> None:
    inputs = of(events(found), "mnist.distilled-int8-evaluate", "COMPLETE")["inputs"]
    asserted = [dataset for dataset in inputs if dataset["inputFacets"]]
    assert [dataset["name"] for dataset in asserted] == [found.artifact("distill-convert", "model").uri]
    assertions = asserted[0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [assertion["success"] for assertion in assertions] == [True, True, True, True, False]
    assert assertions[-1] == {
        "assertion": "min",
        "name": "accuracy",
        "success": False,
        "expected": "0.975",
        "actual": "0.9678",
        "description": "accuracy 0.9678 is below 0.975",
        "params": {},
    }


def test_the_work_of_a_step_is_in_its_facet(found: Example) -> None:
    event = of(events(found), "mnist.prune-a4a3d3", "COMPLETE")
    facet = event["run"]["facets"]["paredown_execution"]
    assert facet["technique"] == "prune" and facet["parameters"]["sparsity"] == 0.8
    assert facet["hyperparameters"] == {"filters": [16, 32], "units": 512}
    assert event["job"]["facets"]["documentation"]["description"].startswith(
        "Pruning: weights that matter least"
    )
    (model,) = event["outputs"]
    assert model["facets"]["paredown_artifact"]["layers"]["conv1"]["sparsity"] == 0.798611


def test_the_run_says_what_it_was_made_of(found: Example) -> None:
    facet = of(events(found), "mnist", "COMPLETE")["run"]["facets"]["paredown_run"]
    # Nothing that was null in the config is lost.
    assert hashlib.sha256(facet["config"].encode()).hexdigest() == facet["configHash"]
    assert facet["environment"]["cpu"] == "AMD EPYC" and facet["gitDirty"] is True
    assert (facet["id"], facet["winner"], facet["seed"]) == (RUN, "pruned-int8", 42)
    engine = of(events(found), "mnist", "START")["run"]["facets"]["processing_engine"]
    assert (engine["name"], engine["version"]) == ("TFX", "1.16.0")


@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        (State.PUSHED, ["START", "COMPLETE"]),
        (State.NONE_PASSED, ["START", "COMPLETE"]),
        (State.FAILED, ["START", "FAIL"]),
        (State.INTERRUPTED, ["START", "ABORT"]),
        (State.RUNNING, ["START"]),
        (State.UNFINISHED, ["START"]),
    ],
)
def test_a_run_ends_as_it_ended(found: Example, status: State, kinds: list[str]) -> None:
    written = [event for event in events(found, status=status) if event["job"]["name"] == "mnist"]
    assert [event["eventType"] for event in written] == kinds
    assert ["errorMessage" in event["run"]["facets"] for event in written] == [
        kind == "FAIL" for kind in kinds
    ]
    for event in written:
        validate(event)


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        (State.CACHED, ["START", "COMPLETE"]),
        (State.FAILED, ["START", "FAIL"]),
        (State.INTERRUPTED, ["START", "ABORT"]),
        (State.RUNNING, ["START"]),
    ],
)
def test_an_execution_ends_as_it_ended(found: Example, state: State, kinds: list[str]) -> None:
    pruner = dataclasses.replace(found.graph.executions[7], state=state)
    graph = dataclasses.replace(found.graph, executions={**found.graph.executions, 7: pruner})
    changed = dataclasses.replace(found, graph=graph)
    reason = "PruningError: layer conv1 has no kernel"
    written = events(changed, status=State.FAILED, failed_node="prune-a4a3d3", reason=reason)
    own = [event for event in written if event["job"]["name"] == "mnist.prune-a4a3d3"]
    assert [event["eventType"] for event in own] == kinds
    if state is State.FAILED:
        assert own[1]["run"]["facets"]["errorMessage"]["message"] == reason
        assert own[1]["outputs"] == []
        run = of(written, "mnist", "FAIL")["run"]["facets"]["errorMessage"]
        assert run["message"] == f"node prune-a4a3d3 failed: {reason}"
    for event in own:
        validate(event)


def test_nothing_that_sends_events_is_imported_and_the_library_stays_usable() -> None:
    program = (
        "import sys\n"
        "from pipeline.lineage import open_lineage\n"
        "print(open_lineage.dataset_name('gs://bucket/a/b'))\n"
        "print(sorted({'httpx', 'requests', 'openlineage.client'} & set(sys.modules)))\n"
        "from openlineage.client import OpenLineageClient\n"
        "from openlineage.client.event_v2 import Job\n"
        "import openlineage.client.event_v2 as events\n"
        "print(events.Job is Job, OpenLineageClient.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["('gs://bucket', 'a/b')", "[]", "True OpenLineageClient"]
