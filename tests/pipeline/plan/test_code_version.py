"""Which edits change the version of which nodes' code, and which do not."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.plan import code_version, source
from pipeline.plan.code_version import DISTRIBUTED, component_version, module_version

STEPS = ["channel_pruner", "pruner", "clusterer", "quantization_aware_trainer", "distiller", "fine_tuner"]
TRAIN = {"trainer", *STEPS}
OTHERS = [
    "anomaly_gate",
    "csv_example_gen",
    "evaluator",
    "image_example_gen",
    "measurer",
    "model_importer",
    "parquet_example_gen",
    "pusher",
    "selector",
    "tflite_converter",
]
MODELS = {*TRAIN, "tflite_converter", "measurer", "evaluator", "model_importer"}

Copy = Callable[[], Path]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    # One for the module, and not the one of the person who runs the tests.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Makes a folder with a copy of `components`; versions are computed once for each folder."""

    def make() -> Path:
        root = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree("components", root / "components", ignore=shutil.ignore_patterns("__pycache__"))
        return root

    return make


def versions(root: Path) -> dict[str, str]:
    """Version of each kind of node; `distributed` behind those that train so."""
    found = {
        name: component_version(f"components.{name}.executor", root=root) for name in (*TRAIN, *OTHERS)
    }
    for name in TRAIN:
        found[f"{name} distributed"] = component_version(f"components.{name}.executor", True, root)
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def both(names: set[str]) -> set[str]:
    """These nodes, and those of them that train distributed."""
    return names | {f"{name} distributed" for name in names & TRAIN}


def test_a_copy_elsewhere_has_the_same_versions(copy: Copy) -> None:
    assert versions(copy()) == versions(Path.cwd())
    assert len(set(versions(Path.cwd()).values())) == len(TRAIN) * 2 + len(OTHERS)


def test_comments_docstrings_and_layout_change_no_version(copy: Copy) -> None:
    root = copy()
    edited = 0
    for path in [
        *root.glob("*/pruner/*.py"),
        *root.glob("*/measurer/*.py"),
        *root.glob("*/common/steps/*.py"),
    ]:
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                node.body[0] = ast.Expr(ast.Constant("Another text."))
                edited += 1
        path.write_text(f"# A comment.\n{ast.unparse(tree)}\n", encoding="utf-8")
    assert edited > 100
    assert versions(root) == versions(Path.cwd())


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        pytest.param("pruner/executor.py", both({"pruner"}), id="its own executor"),
        pytest.param("trainer/run_fn.py", both({"trainer"}), id="what its executor calls"),
        pytest.param("measurer/latency.py", {"measurer"}, id="a module beside the executor"),
        pytest.param(
            "evaluator/judging.py", {"evaluator", "selector"}, id="judging, which measures nothing again"
        ),
        pytest.param("common/training/seeding.py", both(MODELS), id="a shared module"),
        pytest.param("common/training/fitting.py", both(TRAIN), id="training, which others do not do"),
        pytest.param("common/models/invariants.py", both(MODELS), id="a module that others import"),
        pytest.param("common/steps/fine_tuning.py", both(set(STEPS)), id="what steps that train share"),
        pytest.param("__init__.py", both({*MODELS, *OTHERS}), id="the package"),
        pytest.param("clusterer/explanation.py", set(), id="an explanation, which does no work"),
        pytest.param("pruner/component.py", set(), id="a declaration, which does no work"),
        *(
            pytest.param(
                f"{name.replace('.', '/').removeprefix('components/')}.py",
                {f"{node} distributed" for node in TRAIN},
                id=name.rpartition(".")[2],
            )
            for name in DISTRIBUTED
        ),
    ],
)
def test_a_change_of_code_changes_the_version_of_what_executes_it(
    edited: str, expected: set[str], copy: Copy
) -> None:
    root = copy()
    with open(root / "components" / edited, "a", encoding="utf-8") as file:
        file.write("\nX = 1\n")
    assert changed(versions(Path.cwd()), versions(root)) == expected


@pytest.mark.tf
def test_every_module_that_a_converter_imports_is_part_of_its_version(copy: Copy) -> None:
    """TensorFlow imports them in a process; what it imports must not be missing from the hash."""
    script = """
        import json, sys
        import components.tflite_converter.executor
        print(json.dumps([n for n in sys.modules if n.partition(".")[0] == "components"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True
    )
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    counted = code_version._Tree(Path.cwd()).imported(
        ["components.tflite_converter.executor"], within="components", not_called=DISTRIBUTED
    )
    assert len(imported) > 30
    assert imported <= set(counted)


def test_no_module_is_imported_by_a_computed_name() -> None:
    """Such an import would not be part of any version. A user's module has a version of its own."""
    counted = code_version._Tree(Path.cwd()).imported(
        [f"components.{name}.executor" for name in (*TRAIN, *OTHERS)], within="components"
    )
    users = {
        name
        for name in counted
        if any(
            word in path.read_text(encoding="utf-8")
            for path in [Path(*name.split(".")).with_suffix(".py")]
            if path.exists()
            for word in ("import_module", "importlib.util", "__import__", "exec(", "eval(")
        )
    }
    # The user's module has a version in the node's parameters. What the others import is `kept`: the invariants of
    # earlier steps, and what writes files beside a pushed model.
    assert users == {
        "components.common.models.user_module",
        "components.common.models.invariants",
        "components.pusher.beside",
        "components.common.base.compatibility",  # by TensorFlow's version, which is part of every version
        "components.common.serving.stubs",  # looks for TensorFlow, and imports its messages by name
    }


@pytest.mark.parametrize(
    ("source", "helper"),
    [
        pytest.param("import layers\n", "model.py", id="the module itself"),
        pytest.param("from layers import Block\n", "layers.py", id="a module beside it"),
        pytest.param("import parts.blocks\n", "parts/blocks.py", id="a module in a folder"),
        pytest.param("import parts.blocks\n", "parts/__init__.py", id="the folder's own code"),
        pytest.param("from parts import *\n", "parts/deep.py", id="what a package imports"),
        pytest.param("from parts import deep\n", "parts/deeper.py", id="what that imports"),
        pytest.param(
            "def build_model(h):\n    from parts import blocks\n", "parts/blocks.py", id="inside a function"
        ),
    ],
)
def test_what_the_model_imports_is_part_of_its_version(
    source: str, helper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    texts = {
        "model.py": source,
        "layers.py": "Block = 1\n",
        "parts/__init__.py": "from .deep import *\n",
        "parts/deep.py": "from . import deeper\nx = 1\n",
        "parts/deeper.py": "x = 1\n",
        "parts/blocks.py": "import numpy\n",
        "other.py": "x = 1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    def version() -> str:
        return module_version(tmp_path / "model.py", "model", tmp_path / "pipeline.yaml")

    before = version()
    (tmp_path / "other.py").write_text("x = 2\n", encoding="utf-8")
    (tmp_path / helper).write_text(f'"""What it is."""\n# Why.\n{texts[helper]}', encoding="utf-8")
    assert version() == before
    (tmp_path / helper).write_text(texts[helper] + "y = 1\n", encoding="utf-8")
    assert version() != before


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("x = f(1,\n      2)  # two", "x = f(\n    1,\n    2,\n)", True),
        ("x = 'a'", 'x = "a"', True),
        ("def f():\n    'Text.'\n    return 1", "def f(): return (1)", True),
        ("class A:\n    x: int = 1\n    'Of x.'", "class A:\n    x: int = 1", True),
        ("def f():\n    'Text.'", "def f():\n    ...", True),
        ("x = 1", "x = 1.0", False),
        ("x = 1", "x = True", False),
        ("x = 0.0", "x = -0.0", False),
        ("x = 'a'", "x = b'a'", False),
        ("x = None", "x = ()", False),
        ("return_ = f(a, *b)", "return_ = f(a, b)", False),
        ("f(a=1)", "f(b=1)", False),
        ("x = {**a}", "x = {None: a}", False),
        ("assert x", "assert x, 'text'", False),
        ("from a import b", "from .a import b", False),
        ("def f(a, /): pass", "def f(a): pass", False),
        ("def f(a, *, b): pass", "def f(a, b): pass", False),
        ("async def f(): pass", "def f(): pass", False),
        ("x[1:]", "x[:1]", False),
        ("f'{x!r}'", "f'{x}'", False),
    ],
)
def test_two_files_have_one_digest_if_they_do_the_same(before: str, after: str, same: bool) -> None:
    digests = [source.read_source(text.encode(), "a.py").digest for text in (before, after)]
    assert (digests[0] == digests[1]) is same


def test_docstrings_count_if_a_module_reads_docstrings(tmp_path: Path) -> None:
    model = tmp_path / "model.py"

    def version(text: str) -> str:
        model.write_text(text, encoding="utf-8")
        return module_version(model, "model", tmp_path / "pipeline.yaml")

    read = "def f():\n    '{}'\nname = f.__doc__\n"
    assert version(read.format("one")) != version(read.format("two"))


def test_imports_for_type_checkers_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kinds.py").write_text("x = 1\n", encoding="utf-8")
    model = tmp_path / "model.py"
    model.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import kinds\n", encoding="utf-8"
    )
    before = module_version(model, "model", tmp_path / "pipeline.yaml")
    (tmp_path / "kinds.py").write_text("x = 2\n", encoding="utf-8")
    assert module_version(model, "model", tmp_path / "pipeline.yaml") == before


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], tuple[str, int]]:
    """A version as a new process has it, with a cache folder of its own, and how many files were parsed for it."""
    parse = ast.parse

    def find(home: Path) -> tuple[str, int]:
        parsed: list[object] = []

        def count(*given: Any, **named: Any) -> ast.AST:
            parsed.append(given)
            return parse(*given, **named)

        for kept in (source._opened, code_version._tree, code_version._component_version):
            kept.cache_clear()
        monkeypatch.setenv("XDG_CACHE_HOME", str(home))
        with monkeypatch.context() as patch:
            patch.setattr(source.ast, "parse", count)
            return component_version("components.selector.executor"), len(parsed)

    return find


def rows_of(cache: bytes) -> dict[str, Any]:
    return json.loads(cache.partition(b"\n")[2])


def test_a_cache_saves_parsing_and_a_damaged_one_is_ignored(
    again: Callable[[Path], tuple[str, int]], tmp_path: Path
) -> None:
    version, parsed = again(tmp_path)
    assert parsed > 10
    assert again(tmp_path) == (version, 0)
    (path,) = tmp_path.glob("paredown/sources-*.json")
    whole = path.read_bytes()
    # A digest in it that is another one, by an editor or a bad disk.
    start = whole.index(b'["', 70) + 2
    other = b"0" if whole[start : start + 1] != b"0" else b"1"
    for damaged in (
        whole[:start] + other + whole[start + 1 :],
        whole[:-100],
        b"",
        b"\xff" * 100,
        b"[]\n{}",
    ):
        path.write_bytes(damaged)
        assert again(tmp_path) == (version, parsed)
        assert rows_of(path.read_bytes()) == rows_of(whole)


def test_the_cache_keeps_what_was_used_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_MOST_ENTRIES", 3)
    path = tmp_path / "cache.json"
    for name in ("a", "b", "c", "d", "c", "e"):
        cache = source._Cache(path)
        cache.add(source.Source(name, f"digest of {name}", (source.Import("x", 1, True),), False))
        cache.save()
    assert list(rows_of(path.read_bytes())) == ["d", "c", "e"]
    again = source._Cache(path).get("c")
    assert again == source.Source("c", "digest of c", (source.Import("x", 1, True),), False)


def test_a_cache_folder_that_cannot_be_written_is_not_an_error(
    again: Callable[[Path], tuple[str, int]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert again(tmp_path / "file")[0] == again(tmp_path / "cache")[0]
