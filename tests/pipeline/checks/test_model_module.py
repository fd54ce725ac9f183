"""The model module is found and parsed, and never executed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.checks.config_checks import check
from pipeline.config.config_file import load
from pipeline.plan.model_source import find_module, has_function
from tests.pipeline.checks.unread import CONFIG, MODEL, refusal
from tests.project import changed


@pytest.mark.parametrize(
    ("name", "file"),
    [
        pytest.param("my.model", "my/model.py", id="file in a folder without __init__"),
        pytest.param("flat", "flat.py", id="file in the working directory"),
        pytest.param("both", "both/__init__.py", id="package before module"),
        pytest.param("near", "configs/near.py", id="file beside the config"),
        pytest.param("configs.near", "configs/near.py", id="the same from the working directory"),
        pytest.param("flat.deeper", None, id="file as a package"),
        pytest.param("my", None, id="folder without __init__"),
        pytest.param("nowhere", None, id="nothing"),
    ],
)
def test_module_is_found_as_a_file_without_executing_it(unread, name, file):
    for path in ("flat.py", "both.py", "both/__init__.py", "configs/near.py"):
        unread.write(path, MODEL)

    found = find_module(name, "configs/pipeline.yaml")

    assert found == (unread.root / file if file else None)
    assert not {"my", "flat", "both", "near"} & set(sys.modules)


def test_module_is_found_on_sys_path_last(unread, monkeypatch):
    elsewhere = unread.write("elsewhere/far/model.py", MODEL).parents[1]
    unread.write("elsewhere/my/model.py", MODEL)
    monkeypatch.syspath_prepend(elsewhere)

    assert find_module("far.model", "pipeline.yaml") == elsewhere / "far" / "model.py"
    assert find_module("my.model", "pipeline.yaml") == unread.root / "my" / "model.py"


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("my.modle", "there is no my/modle.py beside the config, in {cwd} or on sys.path; did you "
        "mean 'my.model'?"),
        ("mine.model", "there is no mine/model.py beside the config, in {cwd} or on sys.path; "
        "write the module as Python imports it"),
    ],
)  # fmt: skip
def test_module_that_does_not_exist_is_refused(unread, module, message):
    found = refusal(unread, changed(CONFIG, "module: my.model", f"module: {module}  # here"))

    assert found.key() == "model.module"
    assert found.message == message.format(cwd=unread.root)


def test_module_beside_the_config_is_suggested(unread):
    path = unread.write("configs/pipeline.yaml", changed(CONFIG, "my.model", "model"))
    unread.write("configs/model2.py", MODEL)

    (message,) = [problem.message for problem in check(load(path)) if problem.key() == "model.module"]
    assert "; did you mean 'model2'?" in message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param(
            "import os\ndef build_model(hparams)\n    return 1\n",
            "my/model.py:2 is not Python: ",
            id="syntax error",
        ),
        pytest.param("a = 1\0\n", "my/model.py is not Python: ", id="null byte"),
        pytest.param("a = 'é'\n".encode("latin-1"), "my/model.py", id="Latin-1"),
        pytest.param(
            "",
            "my/model.py has no function 'build_model' at its top level; write `def build_model(hparams)`",
            id="nothing",
        ),
        pytest.param(
            "def build_modle(hparams): ...\n",
            "my/model.py has no function 'build_model' at its top level; did you mean 'build_modle'?",
            id="misspelt function",
        ),
        pytest.param(
            "class Models:\n    def build_model(hparams): ...\n",
            "my/model.py has no function 'build_model'",
            id="function in a class",
        ),
        pytest.param(
            "def outer():\n    def build_model(hparams): ...\n",
            "my/model.py has no function 'build_model'",
            id="function in a function",
        ),
        pytest.param(
            "if __name__ == '__main__':\n    def build_model(hparams): ...\n",
            "my/model.py has no function 'build_model'",
            id="function that an import does not define",
        ),
        pytest.param(
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from x import build_model\n",
            "my/model.py has no function 'build_model'",
            id="import for type checkers",
        ),
        pytest.param(
            "build_model: object\nx = [build_model for build_model in 'ab']\n",
            "my/model.py has no function 'build_model'",
            id="annotation and comprehension",
        ),
        pytest.param(
            "from string import *\nfrom .base import *\n",
            "my/model.py has no function 'build_model'",
            id="star import without it",
        ),
        *[
            pytest.param(
                f"\n{signature}: ...\n",
                "build_model in my/model.py:2 cannot be called with hparams alone; write `def "
                "build_model(hparams)`",
                id=signature,
            )
            for signature in (
                "def build_model()",
                "def build_model(filters, units)",
                "def build_model(*, hparams)",
                "def build_model(hparams, *, units)",
                "async def build_model(hparams)",
            )
        ],
    ],
)
def test_module_without_a_usable_build_model_is_refused(unread, source, message):
    unread.write("my/model.py", source)
    unread.write("my/base.py", "def build_something_else(hparams): ...\n")
    found = refusal(unread, changed(CONFIG, "module: my.model", "module: my.model  # here"))

    assert found.key() == "model.module"
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("def build_model(hparams): ...", id="function"),
        pytest.param("def build_model(hparams, units=10, **more): ...", id="with defaults"),
        pytest.param("def build_model(*args): ...", id="with *args"),
        pytest.param("def build_model(h, /): ...", id="positional only"),
        pytest.param("@cached(2)\ndef build_model(): ...", id="decorated"),
        pytest.param("class build_model: ...", id="class"),
        pytest.param("build_model = make(3)", id="assignment"),
        pytest.param("build_model: object = make(3)", id="annotated assignment"),
        pytest.param("(a, [*build_model]) = make(3)", id="unpacking"),
        pytest.param("from elsewhere import build_model", id="import"),
        pytest.param("from elsewhere import build as build_model", id="import under the name"),
        pytest.param("import build_model.deeper", id="import of a module"),
        pytest.param("if big:\n    pass\nelse:\n    def build_model(hparams): ...", id="in else"),
        pytest.param("try:\n    import x\nexcept ImportError:\n    build_model = None", id="in except"),
        pytest.param("for build_model in (f, g): pass", id="loop variable"),
        pytest.param("with x as build_model: pass", id="with"),
        pytest.param("print(build_model := f)", id="walrus"),
        pytest.param("from unknown_package import *", id="star import that cannot be followed"),
        pytest.param("from .base import *", id="star import of a file beside it"),
        pytest.param("from my.base import *", id="star import by its full name"),
        pytest.param("from . import *", id="star import of the folder"),
        pytest.param("def __getattr__(name): ...", id="module with __getattr__"),
        pytest.param(
            "if big:\n    def build_model(): ...\nelse:\n    def build_model(h): ...",
            id="two definitions, one usable",
        ),
    ],
)
def test_build_model_can_be_bound_in_any_way(unread, source):
    unread.write("my/model.py", source)
    unread.write("my/base.py", "from .model import *\ndef build_model(hparams): ...\n")

    assert unread.checked() == []


STUDENTS = """\
  a:
    - distill: {student: build_student}
    - convert: {quantization: int8}
  b:
    - distill:
        student: build_studnet  # here
    - convert: {quantization: int8}
  c:
    - distill: {student: build_studnet, epochs: 2}
    - convert: {quantization: int8}
"""


def test_student_that_does_not_exist_is_refused_once(unread):
    found = refusal(unread, changed(CONFIG, "gate:\n", STUDENTS + "gate:\n"))

    assert found.key() == "candidates.b[0].distill.student"
    assert found.message == (
        "my/model.py has no function 'build_studnet' at its top level; did you mean 'build_student'?"
    )


def test_student_that_is_not_named_is_build_student(unread):
    unread.write("my/model.py", "def build_model(hparams): ...\n")
    text = changed(CONFIG, "    - convert", "    - distill: {epochs: 1}  # here\n    - convert")
    found = refusal(unread, text)

    assert found.key() == "candidates.int8[0].distill.student"
    assert found.message.startswith("my/model.py has no function 'build_student'")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def preprocessing_fn(inputs): ...", True),
        ("from .base import *", True),
        ("from unknown_package import *", False),
        ("# preprocessing_fn", False),
    ],
)
def test_has_function_answers_for_the_top_level(unread, source, expected):
    unread.write("my/base.py", "preprocessing_fn = str")
    path = unread.write("my/model.py", source)

    assert has_function(path, "preprocessing_fn") is expected


@pytest.mark.parametrize("module", ["components.net", "pipeline", "pipeline.model"])
def test_a_module_called_as_the_programs_own_packages_is_refused(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(exist_ok=True)
    path.write_text(MODEL)
    (tmp_path / "pipeline.yaml").write_text(CONFIG.replace("my.model", module))
    monkeypatch.chdir(tmp_path)
    problems = [p for p in check(load("pipeline.yaml")) if p.location == ("model", "module")]
    assert [problem.message for problem in problems] == [
        f"{module!r} would be looked for in Paredown's own package of that name; call the file or folder "
        "something else, e.g. model.py"
    ]
