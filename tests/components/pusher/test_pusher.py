"""The executor: what it pushes, and what it says of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.common.base.blessing import bless
from components.common.base.errors import ParedownError
from components.common.base.file_hashes import ChangedFile, as_property, digests, model_digests
from components.pusher import version_folder
from components.pusher.executor import Executor, push
from tests.conftest import Trained

CONTENT = b"a model" * 1000


def artifact(kind: Any, uri: Path) -> Any:
    made = kind()
    made.uri = str(uri)
    return made


class Pushing:
    """Runs the executor on the file of a converted model, as often as wanted."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.serving = folder / "serving"
        self.file = folder / "model" / "Format-Serving" / "tflite"
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(CONTENT)
        (folder / "model" / "optimization.json").write_text("{}")
        self.judge()

    def __call__(self, blessed: bool = True, number: int = 1) -> Any:
        blessing = artifact(standard_artifacts.ModelBlessing, self.folder / f"blessing{number}")
        bless(blessing, blessed)
        pushed = artifact(standard_artifacts.PushedModel, self.folder / f"pushed{number}")
        Executor().Do(
            {
                "model": [self.model()],
                "model_blessing": [blessing],
            },
            {"pushed_model": [pushed]},
            {
                "push_destination": json.dumps({"filesystem": {"base_directory": str(self.serving)}}),
                "custom_config": '{"code_version": "1"}',
            },
        )
        return pushed

    def model(self) -> Any:
        made = artifact(standard_artifacts.Model, self.folder / "model")
        if self.judged is not None:
            made.set_string_custom_property("judged", as_property(self.judged))
        return made

    def judge(self) -> None:
        self.judged: dict[str, str] | None = model_digests(self.folder / "model")

    def versions(self) -> list[str]:
        return sorted(path.name for path in self.serving.iterdir()) if self.serving.exists() else []


@pytest.fixture
def pushing(tmp_path: Path) -> Pushing:
    return Pushing(tmp_path)


def test_what_is_blessed_is_pushed_and_known_by_its_content(pushing: Pushing) -> None:
    pushed = pushing()

    (version,) = pushing.versions()
    destination = pushing.serving / version
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_destination") == str(destination)
    assert pushed.get_string_custom_property("pushed_version") == version
    assert [path.name for path in destination.iterdir()] == ["tflite"]
    assert (destination / "tflite").read_bytes() == CONTENT
    assert (Path(pushed.uri) / "tflite").read_bytes() == CONTENT
    found = hashlib.sha256((destination / "tflite").read_bytes()).hexdigest()
    for name in ("files", "judged"):
        assert json.loads(pushed.get_string_custom_property(name)) == {"tflite": found}


def test_what_is_not_blessed_is_not_pushed(pushing: Pushing) -> None:
    pushed = pushing(blessed=False)

    assert pushing.versions() == []
    assert pushed.get_int_custom_property("pushed") == 0
    assert pushed.get_string_custom_property("pushed_destination") == ""
    assert pushed.get_string_custom_property("files") == ""


@pytest.mark.parametrize(
    ("judged", "says"),
    [
        ({"Format-Serving/tflite": "0" * 64}, r"/model/Format-Serving/tflite was changed: .* judged"),
        ({}, "does not say which files were judged"),
        (None, "does not say which files were judged"),
    ],
)
def test_what_was_not_judged_is_not_pushed(
    pushing: Pushing, judged: dict[str, str] | None, says: str
) -> None:
    pushing.judged = judged
    with pytest.raises(ParedownError, match=says):
        pushing()
    assert pushing.versions() == []


def test_two_pushes_in_one_second_are_two_versions(
    pushing: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TFX's own executor skips the second, and says that it was pushed."""
    monkeypatch.setattr("time.time", lambda: 1800000000.25)
    first = pushing(number=1)
    pushing.file.write_bytes(b"another model")
    pushing.judge()
    second = pushing(number=2)

    assert pushing.versions() == ["1800000000", "1800000001"]
    assert first.get_string_custom_property("pushed_version") == "1800000000"
    assert second.get_string_custom_property("pushed_version") == "1800000001"
    assert (pushing.serving / "1800000000" / "tflite").read_bytes() == CONTENT
    assert (pushing.serving / "1800000001" / "tflite").read_bytes() == b"another model"
    assert first.get_string_custom_property("files") != second.get_string_custom_property("files")


def test_a_push_that_fails_is_not_said_to_have_been_made(
    pushing: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, destination: Path) -> None:
        destination.write_bytes(b"a mo")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(version_folder, "copy_file", full)
    with pytest.raises(OSError, match="No space left"):
        pushing()

    assert pushing.versions() == []


def test_a_saved_model_loads_from_where_it_was_pushed(trained: Trained, tmp_path: Path) -> None:
    serving = f"{trained.uri}/Format-Serving"
    version = push(serving, str(tmp_path / "serving"), digests(serving))

    signature = tf.saved_model.load(version).signatures["serving_default"]
    assert list(signature(image=tf.zeros((1, 28, 28, 1)))) == ["probabilities"]


def test_a_store_without_folders_gets_numbered_copies_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow's file system in memory replaces the buckets of clouds: no atomic rename."""
    monkeypatch.setattr("time.time", lambda: 1800000000.25)
    for name in ("saved_model.pb", "variables/variables.index"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    base = "ram://bucket/serving"
    judged = digests(tmp_path)
    versions = [push(str(tmp_path), base, judged) for _ in range(2)]

    assert versions == [f"{base}/1800000000", f"{base}/1800000001"]
    for version in versions:
        for name in ("saved_model.pb", "variables/variables.index"):
            assert tf.io.gfile.GFile(f"{version}/{name}").read() == name
    (tmp_path / "saved_model.pb").write_text("another")
    with pytest.raises(ChangedFile, match=r"saved_model\.pb was changed"):
        push(str(tmp_path), base, judged)
    assert len(tf.io.gfile.listdir(base)) == 2


def test_in_a_pipeline_the_cache_goes_by_the_code_and_the_facts_are_kept(pushing: Pushing) -> None:
    from ml_metadata.metadata_store import metadata_store
    from tfx.dsl.components.common.importer import Importer
    from tfx.orchestration import metadata, pipeline
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.proto import pusher_pb2

    from components.pusher.component import Pusher

    folder = pushing.folder
    connection = metadata.sqlite_metadata_connection_config(str(folder / "metadata.sqlite"))
    destination = pusher_pb2.PushDestination()
    destination.filesystem.base_directory = str(pushing.serving)
    (folder / "blessing").mkdir()

    def run(code_version: str) -> None:
        judged = {"judged": as_property(model_digests(folder / "model"))}
        model = Importer(str(folder / "model"), standard_artifacts.Model, custom_properties=judged).with_id(
            "model"
        )
        blessing = Importer(
            str(folder / "blessing"), standard_artifacts.ModelBlessing, custom_properties={"blessed": 1}
        ).with_id("blessing")
        pusher = Pusher(
            model=model.outputs["result"],
            model_blessing=blessing.outputs["result"],
            push_destination=destination,
            custom_config={"code_version": code_version},
        )
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="pushing",
                pipeline_root=str(folder / "root"),
                components=[model, blessing, pusher],
                enable_cache=True,
                metadata_connection_config=connection,
            )
        )

    versions = []
    for code_version in ("1", "1", "2"):
        run(code_version)
        versions.append(pushing.versions())
    assert [len(found) for found in versions] == [1, 1, 2]
    store = metadata_store.MetadataStore(connection)
    kept = [
        {name: value.string_value or value.int_value for name, value in a.custom_properties.items()}
        for a in store.get_artifacts_by_type("PushedModel")
    ]
    assert [facts["pushed_version"] for facts in kept] == versions[2]
    assert [facts["pushed"] for facts in kept] == [1, 1]
    assert json.loads(kept[1]["files"]) == {"tflite": hashlib.sha256(CONTENT).hexdigest()}
    executions = store.get_executions_by_type("components.pusher.component.Pusher")
    assert [e.custom_properties["custom_config"].string_value for e in executions] == [
        '{"code_version": "1"}', '{"code_version": "1"}', '{"code_version": "2"}'
    ]  # fmt: skip
