"""What a run that stops removes from its push directory: its own unrecorded version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.common.base.file_hashes import digests
from components.pusher import version_folder
from pipeline.plan.node import PUSHER, Node
from pipeline.plan.plan import Plan
from pipeline.run.launcher import Launched
from pipeline.run.push import Push
from pipeline.store.connection import connect
from pipeline.store.reader import Reader
from pipeline.store.state import State


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/tflite").write_bytes(b"ours")
    return tmp_path / "serving"


def follow(serving: Path) -> Push:
    """A run that is in its Pusher, with a store that has no push yet."""
    destination = json.dumps({"filesystem": {"base_directory": str(serving)}})
    pusher = Node(PUSHER, "a.Pusher", {}, {"push_destination": destination})
    plan: Any = SimpleNamespace(name="p", node=lambda node: pusher)
    url = f"sqlite:///{serving.parent}/metadata.sqlite"
    connect(url, write=True)
    push = Push(cast(Plan, plan), lambda: Reader.open(url))
    push.before_node(PUSHER)
    return push


def push_ours(serving: Path) -> Path:
    model = serving.parent / "model"
    return version_folder.push(model, serving, digests(model))


def push_theirs(serving: Path, name: str) -> Path:
    """A version that another process pushes."""
    theirs = serving / name
    theirs.mkdir(parents=True)
    (theirs / "tflite").write_bytes(b"theirs")
    return theirs


@pytest.mark.parametrize("pushed", [True, False])
def test_a_run_that_stops_in_its_pusher_leaves_the_versions_of_others(serving: Path, pushed: bool) -> None:
    """They came while it was in its Pusher, before and after its own."""
    push = follow(serving)
    before = push_theirs(serving, "1700000000")
    ours = push_ours(serving) if pushed else None
    after = push_theirs(serving, str(int(ours.name) + 1) if ours else "1700000001")
    push.remove_unfinished()
    assert sorted(path.name for path in serving.iterdir()) == [before.name, after.name]
    assert (before / "tflite").read_bytes() == (after / "tflite").read_bytes() == b"theirs"


def test_a_number_that_another_push_took_over_is_not_ours(serving: Path) -> None:
    push = follow(serving)
    ours = push_ours(serving)
    ours.rename(serving.parent / "taken-away")
    push_theirs(serving, ours.name)
    push.remove_unfinished()
    assert (ours / "tflite").read_bytes() == b"theirs"


def test_a_push_that_ended_stays(serving: Path) -> None:
    push = follow(serving)
    ours = push_ours(serving)
    push.after_node(PUSHER, Launched(State.RAN, 1.0))
    push.remove_unfinished()
    assert ours.is_dir()
    shutil.rmtree(ours)
