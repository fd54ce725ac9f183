"""A project in a folder, as a user has one: a config, a model module and data.

    def test_something(project: Project) -> None:          # the fixture of tests/conftest.py
        project.write_config(gate="{accuracy: {metric: AUC, min: 0.9}}")
        assert project.problem("data.label=lable").key() == "data.label"

Every project has four features `x` and a label of three classes. Nothing here imports TensorFlow before records
are written or the model is built.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pipeline.config.config_file import ConfigFile
    from pipeline.config.problem import Problem
    from pipeline.plan.plan import Plan

ROOT = Path(__file__).resolve().parents[1]
MNIST = ROOT / "configs" / "mnist" / "pipeline.yaml"

# Section → its YAML, in the order of a config; MODULE becomes the name of the project's model module.
SECTIONS = {
    "name": "digits",
    "data": "{path: data, splits: {train: 'train*', eval: 'eval*'}, label: label}",
    "model": "{module: MODULE}",
    "candidates": "{int8: [{convert: {quantization: int8}}]}",
    "gate": "{accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}}",
    "push": "{directory: serving}",
}

MODEL = """\
import tf_keras


def build_model(hparams):
    model = tf_keras.Sequential(
        [tf_keras.layers.Input((4,), name="x"), tf_keras.layers.Dense(3, name="last")]
    )
    model.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def build_student(hparams):
    return build_model(hparams)
"""

# What the `# here` of a config marks: the line that its problem has to name.
MARK = "# here"

_modules = itertools.count(1)
_written: dict[str, bytes] = {}  # split → its file, which is the same for all projects


def config_text(**sections: str | None) -> str:
    """A config as YAML.

    Args:
        sections: Section → its value, in braces on one line or as an indented block that begins with a line
            break; None leaves the section out. What is not given is as in SECTIONS.
    """
    written = {**SECTIONS, **sections}
    return "".join(
        f"{name}:{'' if text.startswith(chr(10)) else ' '}{text.rstrip()}\n"
        for name, text in written.items()
        if text is not None
    )


def changed(text: str, old: str, new: str) -> str:
    """A text with one part replaced; the part has to be there once, so that no test changes nothing."""
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    return text.replace(old, new)


def marked_line(text: str) -> int | None:
    """Line of the first MARK, from 1; None if there is none."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if MARK in line), None)


def read_config(folder: Path, text: str | bytes, sets: Sequence[str] = ()) -> ConfigFile:
    """Writes a config into an empty folder and reads it, with `--set`s; nothing else is left there."""
    from pipeline.config.config_file import load

    path = folder / "pipeline.yaml"
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(content)
    try:
        return load(path, sets)
    finally:
        assert list(folder.iterdir()) == [path] and path.read_bytes() == content


def config_problem(folder: Path, text: str | bytes, sets: Sequence[str] = ()) -> Problem:
    """The one problem of a config that cannot be read; it is on the line that is marked, if one is."""
    from pipeline.config.problem import ConfigError

    with pytest.raises(ConfigError) as refused:
        read_config(folder, text, sets)
    assert len(refused.value.problems) == 1, str(refused.value)
    problem = refused.value.problems[0]
    line = marked_line(text) if isinstance(text, str) else None
    assert line is None or (problem.file, problem.line) == (str(folder / "pipeline.yaml"), line)
    return problem


def examples(count: int) -> list[dict[str, Any]]:
    """Examples of the project's features: `x`, four floats, and `label`, 0 to 2 in turn."""
    return [{"x": [float(index), 1.0, 2.0, 3.0], "label": index % 3} for index in range(count)]


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file, folder and link of a folder → time of modification and content."""
    return {
        str(path): (
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() and not path.is_symlink() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }


def _contents(folder: Path) -> dict[str, bytes]:
    """The same without times and without what Python caches when it imports the model module."""
    return {path: content for path, (_, content) in state(folder).items() if "__pycache__" not in path}


class Project:
    """A project that is the working directory, with its model module on sys.path.

    Attributes:
        root: The folder.
        config: The config, written as `config_text()`.
        module: Name of the model module, MODEL; each project has another one, as Python keeps modules by name.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(root)
        monkeypatch.syspath_prepend(str(root))
        self.root = root
        self.config = root / "pipeline.yaml"
        self.module = f"project_model_{next(_modules)}"
        self.write_model(MODEL)
        self.write_config()

    def write(self, name: str, content: str | bytes) -> Path:
        """Writes a file below the root, and the folders that it is in."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def write_model(self, text: str) -> None:
        """Writes the model module."""
        self.write(f"{self.module}.py", text)

    def write_config(self, text: str | None = None, **sections: str | None) -> str:
        """Writes the config: a whole text, or sections as `config_text` takes them; returns it."""
        text = (config_text(**sections) if text is None else text).replace("MODULE", self.module)
        self.write(self.config.name, text)
        return text

    def write_records(self, name: str, rows: Iterable[Mapping[str, Any]]) -> Path:
        """Writes a TFRecord file of examples below data/, compressed if its name ends in .gz."""
        import tensorflow as tf

        from tests.conftest import to_example

        path = self.write(f"data/{name}", b"")
        compression = "GZIP" if path.suffix == ".gz" else ""
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type=compression)) as writer:
            for row in rows:
                writer.write(to_example(dict(row)))
        return path

    def write_data(self) -> None:
        """Writes both splits: 12 examples to train on, 6 to evaluate."""
        for split, count in (("train", 12), ("eval", 6)):
            name = f"{split}.tfrecord.gz"
            if split in _written:
                self.write(f"data/{name}", _written[split])
            else:
                _written[split] = self.write_records(name, examples(count)).read_bytes()

    def load(self, *overrides: str) -> ConfigFile:
        """Reads the config, with `--set`s."""
        from pipeline.config.config_file import load

        return load(self.config, list(overrides))

    def plan(self, *overrides: str) -> Plan:
        """The plan of the config."""
        from pipeline.plan.planner import make_plan

        return make_plan(self.load(*overrides).config, self.config)

    def checked(self, *overrides: str) -> list[Problem]:
        """What `paredown validate` finds, without TensorFlow; it leaves every file as it was."""
        from pipeline.checks.config_checks import check
        from pipeline.config.problem import ConfigError

        before = state(self.root)
        try:
            found = check(self.load(*overrides))
        except ConfigError as error:
            found = error.problems
        assert state(self.root) == before
        return found

    def looked_at(self, *overrides: str, cached: Iterable[str] = ()) -> list[Problem]:
        """What `paredown run` finds before it begins, with TensorFlow; it leaves every file as it was."""
        from pipeline.checks import preflight

        before = _contents(self.root)
        found = preflight.check(self.load(*overrides), self.plan(*overrides), set(cached)).problems
        assert _contents(self.root) == before
        return found

    def problem(self, *overrides: str, cached: Iterable[str] = ()) -> Problem:
        """The one problem that `looked_at` finds."""
        found = self.looked_at(*overrides, cached=cached)
        assert len(found) == 1, "\n".join(map(str, found))
        return found[0]

    def refusal(self, *overrides: str) -> Problem:
        """The one problem that `checked` finds; it is on the line that is marked, if one is."""
        found = self.checked(*overrides)
        assert len(found) == 1, "\n".join(map(str, found))
        line = marked_line(self.config.read_text(encoding="utf-8"))
        assert line is None or found[0].line == line, found[0]
        return found[0]
