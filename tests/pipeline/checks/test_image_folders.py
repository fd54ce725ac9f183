"""Image folders: whatever would be left out in silence, or read as something else, is refused before a run."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.checks import preflight
from pipeline.checks.config_checks import check
from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError, Problem
from pipeline.plan import data_files, image_nodes
from pipeline.plan.data_nodes import data_fingerprint
from pipeline.plan.plan import make_plan

CONFIG = """\
name: pictures
data:
  format: images
  path: data
  splits: {train: "train/*/*", eval: "eval/*/*"}
  image: {size: [6, 8], channels: 1}
model:
  module: MODULE
candidates:
  int8:
    - convert: {quantization: int8}
gate:
  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01, slices: [{by: label, max_drop: 0.1}]}
push: {directory: serving}
"""

MODEL = """\
import tf_keras


def build_model(hparams):
    x = tf_keras.layers.Input((6, 8, 1), name="image")
    y = tf_keras.layers.Dense(2, activation="softmax", name="y")(tf_keras.layers.Flatten()(x))
    model = tf_keras.Model(x, y)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
"""


def image(kind: str = "PNG", **changes: Any) -> bytes:
    target = io.BytesIO()
    mode = changes.pop("mode", "RGB")
    Image.new(mode, (10, 12), **changes).save(target, kind)
    return target.getvalue()


PNG, JPEG = image(), image("JPEG")


class Folder:
    """A project in a folder of its own, checked in this process."""

    count = 0

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(root)
        monkeypatch.syspath_prepend(str(root))
        Folder.count += 1
        self.root = root
        self.module = f"pictures_model_{Folder.count}"
        (root / "pipeline.yaml").write_text(CONFIG.replace("MODULE", self.module), encoding="utf-8")
        self.write_model(MODEL)
        for split in ("train", "eval"):
            self.write(f"{split}/cat/1.png", PNG)
            self.write(f"{split}/dog/1.jpg", JPEG)

    def write_model(self, text: str) -> None:
        (self.root / f"{self.module}.py").write_text(text, encoding="utf-8")

    def write(self, name: str, content: bytes) -> Path:
        path = self.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def check(self, *overrides: str) -> list[Problem]:
        """What is said without TensorFlow."""
        return check(load(self.root / "pipeline.yaml", list(overrides)))

    def preflight(self, *overrides: str, cached: frozenset[str] = frozenset()) -> list[Problem]:
        """What is said before a run besides."""
        file = load(self.root / "pipeline.yaml", list(overrides))
        assert check(file) == []
        return preflight.check(file, make_plan(file.config, file.path), set(cached)).problems

    def message(self, *overrides: str, key: str = "data.splits.train") -> str:
        (problem,) = self.check(*overrides)
        assert problem.key() == key
        return problem.message


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)


def test_folders_of_images_are_taken(folder: Folder) -> None:
    assert folder.check() == [] and folder.preflight() == []
    assert folder.check("data.classes=[dog, cat]", "data.class_weights={dog: 2}") == []


def test_a_text_file_in_a_class_folder_is_named(folder: Folder) -> None:
    folder.write("train/cat/notes.txt", b"three cats\n")
    message = folder.message()
    assert message.startswith(
        "'train/*/*' matches files that are not PNG or JPEG images: train/cat/notes.txt; remove"
    )
    assert message.endswith("such as 'train/*/*.png'")
    # Which leaves the JPEG files out: that is said, too.
    told = folder.check('data.splits={train: "train/*/*.png", eval: "eval/*/*"}')[0].message
    assert "match no pattern: train/dog/1.jpg; widen the pattern 'train/*/*.png'" in told


def test_a_pattern_may_leave_out_what_is_no_image(folder: Folder) -> None:
    folder.write("train/cat/notes.txt", b"three cats\n")
    assert folder.check('data.splits={train: "train/*/*[gG]", eval: "eval/*/*"}') == []


def test_other_kinds_of_images_are_named(folder: Folder) -> None:
    folder.write("eval/cat/2.gif", image("GIF", mode="L"))
    folder.write("eval/dog/.hidden", b"x")
    message = folder.message(key="data.splits.eval")
    assert "not PNG or JPEG images: eval/cat/2.gif, eval/dog/.hidden; remove" in message


def test_images_beside_the_class_folders_are_named(folder: Folder) -> None:
    folder.write("train/lost.png", PNG)
    folder.write("train/README.txt", b"not an image, and no harm")
    assert (
        "images are beside the class folders, where they have no class: train/lost.png; "
        in folder.message()
    )


def test_class_folders_without_images_are_named(folder: Folder) -> None:
    (folder.root / "data/train/owl").mkdir()
    folder.write("eval/empty/readme.md", b"x").unlink()
    messages = [problem.message for problem in folder.check()]
    assert messages == [
        "class folders without an image: train/owl; add images, or remove the folder",
        "class folders without an image: eval/empty; add images, or remove the folder",
    ]


def test_folders_in_class_folders_are_named(folder: Folder) -> None:
    folder.write("train/cat/kittens/1.png", PNG)
    assert (
        "class folders contain folders, whose files nothing reads: train/cat/kittens; " in folder.message()
    )


def test_a_class_of_one_split_alone_is_named(folder: Folder) -> None:
    folder.write("train/owl/1.png", PNG)
    folder.write("eval/bee/1.png", PNG)
    assert [(problem.key(), problem.message) for problem in folder.check()] == [
        ("data.splits.train", "only the train split has images of owl: the eval split would not measure it; "
         "add some, or remove the folder"),
        ("data.splits.eval", "only the eval split has images of bee: the train split has no images to learn "
         "it; add some, or remove the folder"),
    ]  # fmt: skip


def test_a_pattern_without_class_folders_is_refused(folder: Folder) -> None:
    folder.write("a.png", PNG)
    folder.write("b.png", PNG)
    message = folder.message('data.splits={train: "a*", eval: "b*"}')
    assert message.startswith("'a*' has no class folders") and "'train/*/*'" in message


@pytest.mark.parametrize("name", ["label", "lable"])
def test_images_are_hashed_by_their_pixels_alone(folder: Folder, name: str) -> None:
    splits = f'data.splits={{pattern: "*/*/*", eval_fraction: 0.2, hash_by: {name}}}'
    message = folder.message(splits, key="data.splits.hash_by")
    assert message.startswith(f"{name!r} is not a feature that distinguishes images")
    assert folder.check(splits.replace(name, "image")) == []


def test_a_link_to_nothing_is_no_image(folder: Folder) -> None:
    (folder.root / "data/train/cat/2.png").symlink_to(folder.root / "gone.png")
    (folder.root / "data/train/cat/3.png").symlink_to(folder.root / "data/train/cat/1.png")
    assert folder.message() == (
        "'train/*/*' matches links to files that do not exist: train/cat/2.png; remove or fix them"
    )


def test_a_hidden_folder_is_no_class(folder: Folder) -> None:
    for split in ("train", "eval"):
        folder.write(f"{split}/.cache/1.png", PNG)
    assert folder.message(key="data.splits").startswith("hidden folders would be classes: .cache; ")
    assert folder.check('data.splits={train: "train/[!.]*/*", eval: "eval/[!.]*/*"}') == []


@pytest.mark.parametrize(
    ("written", "key", "message"),
    [("data.classes=[cat, dog, owl]", "data.classes", "lists owl, and there is no folder of that name to train on"),
     ("data.classes=[cat, dgo]", "data.classes", "does not list dog, and there are folders of that name"),
     ("data.class_weights={dgo: 2}", "data.class_weights",
      "'dgo' is not a class of the train split; did you mean 'dog'?; it has cat, dog")],
)  # fmt: skip
def test_classes_that_have_no_folder_are_named(
    folder: Folder, written: str, key: str, message: str
) -> None:
    assert message in folder.message(written, key=key)


def test_more_classes_than_a_schema_lists_have_to_be_written(folder: Folder) -> None:
    for split in ("train", "eval"):
        for number in range(99):
            folder.write(f"{split}/class{number}/1.png", PNG)
    assert "is missing: the train split has 101 classes, and schemas list at most 100" in folder.message(
        key="data.classes"
    )
    for split in ("train", "eval"):
        shutil.rmtree(folder.root / f"data/{split}/class0")
    assert folder.check() == []


@pytest.mark.parametrize(
    ("written", "key", "message"),
    [("data.image=null", "data", "format: images needs a size"),
     ("data.label=image", "data", "label: image is the feature that holds the pixels"),
     ("data.format=tfrecord", "data", "write format: images, or remove image"),
     ("data.classes=[a, a]", "data.classes", "'a' is listed twice"),
     ("data.classes=[a, '']", "data.classes", "'' is not the name of a class"),
     ('data.classes=["a\\nb", c]', "data.classes", "is not the name of a class; write one line of text"),
     ("data.classes=[1, 2]", "data", "classes are names of folders, and so text; write each in quotes"),
     ("data.class_weights={cat: 0}", "data.class_weights", "the weight of 'cat' is 0; write a number above 0"),
     ("data.class_weights=even", "data.class_weights", "'even' is not balanced or {class: weight, …}")],
)  # fmt: skip
def test_options_that_cannot_be_meant(folder: Folder, written: str, key: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(folder.root / "pipeline.yaml", ["data.label=label", written])
    assert message in str(refused.value) and key in str(refused.value)


def test_weights_of_classes_that_are_not_written(folder: Folder) -> None:
    with pytest.raises(
        ConfigError, match=r"class_weights: 'owl' is not one of the classes \['cat', 'dog'\]"
    ):
        load(folder.root / "pipeline.yaml", ["data.classes=[cat, dog]", "data.class_weights={owl: 2}"])


def test_one_set_of_class_folders_is_looked_at_as_two_are(folder: Folder) -> None:
    """Which a hash will divide."""
    hashed = 'data.splits={pattern: "train/*/*", eval_fraction: 0.5}'
    assert folder.check(hashed) == [] and folder.preflight(hashed) == []
    folder.write("train/cat/notes.txt", b"three cats\n")
    problems = folder.check(hashed, "data.classes=[cat, dog, owl]")
    assert [(problem.key(), problem.message.partition(";")[0]) for problem in problems] == [
        (
            "data.splits.pattern",
            "'train/*/*' matches files that are not PNG or JPEG images: train/cat/notes.txt",
        ),
        ("data.classes", "lists owl, and there is no folder of that name to train on"),
    ]
    folder.write("train/cat/notes.txt", JPEG[:-30])
    (problem,) = folder.preflight(hashed)
    assert problem.key() == "data.splits.pattern" and problem.message.startswith(
        "train/cat/notes.txt is damaged"
    )


def test_every_image_that_cannot_be_used_is_named_before_a_run(folder: Folder) -> None:
    folder.write("train/cat/cut.jpg", JPEG[:-30])
    for name in ("a", "b"):
        folder.write(f"eval/dog/{name}.jpg", image("JPEG", mode="CMYK"))
    folder.write("eval/cat/clear.png", image(mode="RGBA"))
    problems = folder.preflight()

    assert [problem.key() for problem in problems] == [
        "data.splits.train",
        "data.splits.eval",
        "data.splits.eval",
    ]
    first, clear, cmyk = [problem.message for problem in problems]
    assert first.startswith("train/cat/cut.jpg is damaged (") and first.endswith(
        "; fetch or write it again"
    )
    assert clear.startswith("eval/cat/clear.png has transparent pixels")
    assert cmyk.startswith("each of eval/dog/a.jpg, eval/dog/b.jpg is in CMYK")
    assert folder.preflight(cached=frozenset({"ImageExampleGen"})) == []


def test_the_model_must_fit_images_and_classes(folder: Folder) -> None:
    folder.write_model(MODEL.replace("Dense(2", "Dense(10"))
    (problem,) = folder.preflight("data.class_weights=balanced")
    assert problem.key() == "model.module"
    assert "the model has 10 outputs, and the label 2 classes: ['cat', 'dog']" in problem.message


def test_an_image_of_another_size_than_the_input_is_refused(folder: Folder) -> None:
    (problem,) = folder.preflight("data.image.size=[8, 8]")
    assert "feature 'image' has 64 values" in problem.message and "(6, 8, 1)" in problem.message


def test_weights_are_refused_of_a_regression(folder: Folder) -> None:
    folder.write_model(MODEL.replace("sparse_categorical_crossentropy", "mse"))
    problems = folder.preflight("data.class_weights=balanced")
    (problem,) = [problem for problem in problems if problem.key() == "data.class_weights"]
    assert "the loss of a regression" in problem.message


def test_the_fingerprint_is_that_of_the_driver(folder: Folder) -> None:
    from tfx.utils import io_utils

    data = load(folder.root / "pipeline.yaml").config.data
    wanted = [
        io_utils.generate_fingerprint(split, os.path.abspath(f"data/{split}/*/*"))
        for split in ("train", "eval")
    ]
    assert data_fingerprint(data) == "\n".join(wanted)


def test_size_label_and_decoder_are_in_the_cache_key(folder: Folder) -> None:
    def parameters(*overrides: str) -> dict[str, Any]:
        file = load(folder.root / "pipeline.yaml", list(overrides))
        return dict(make_plan(file.config, file.path).node("ImageExampleGen").parameters)

    assert {"params", "code_version"} <= set(parameters())
    for change in ("data.image.size=[6, 9]", "data.image.channels=3", "data.label=kind"):
        assert parameters(change)["params"] != parameters()["params"]


def test_what_trains_and_what_judges_know_classes_and_weights(folder: Folder) -> None:
    file = load(folder.root / "pipeline.yaml", ["data.classes=[dog, cat]", "data.class_weights={dog: 2}"])
    plan = make_plan(file.config, file.path)
    wanted = '{"class_weights": {"dog": 2.0}, "classes": ["dog", "cat"]}'

    assert plan.node("convert-int8").parameters["label_options"] == wanted
    assert plan.node("convert-int8-measure").parameters["label_options"] == wanted
    assert wanted.replace('"', '\\"') in str(plan.node("Trainer").parameters["custom_config"])


@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
def test_image_folders_compile_for_a_cluster(folder: Folder, target: Any) -> None:
    from pipeline.kubeflow import runner as kubeflow_runner
    from pipeline.kubeflow.fingerprint import of_config as fingerprint
    from pipeline.kubeflow.parameters import run_parameters

    overrides = ["kubeflow.data_path=gs://bucket/data", "kubeflow.push_directory=gs://bucket/out"]
    config = load(folder.root / "pipeline.yaml", overrides).config
    plan = make_plan(config, folder.root / "pipeline.yaml")
    compiled = kubeflow_runner.compile_plan(
        plan,
        config,
        target,
        "image:1",
        "gs://bucket/root",
        run_parameters(plan, config, fingerprint(config)),
    )
    deployment = compiled.spec["deploymentSpec"]["executors"]["image-example-gen_executor"]
    inputs = compiled.spec["root"]["dag"]["tasks"]["image-example-gen"]["inputs"]["parameters"]
    assert "components.image_example_gen.executor.Executor" in deployment["container"]["args"]
    assert '"channels": 1' in str(inputs["params"]) and inputs["input_base"] == {
        "componentInputParameter": "data_path"
    }


def test_random_bytes_are_not_taken_for_an_image(folder: Folder) -> None:
    """A file that begins as an image, and is none."""
    noise: Callable[[int], bytes] = np.random.default_rng(1).bytes
    folder.write("train/cat/2.png", PNG[:8] + noise(300))
    folder.write("train/cat/3.jpg", JPEG[:4] + noise(300))
    messages = [problem.message for problem in folder.preflight()]
    assert [message.split(" ")[0] for message in messages] == ["train/cat/2.png", "train/cat/3.jpg"]
    assert all(" is damaged (" in message for message in messages)


def numbered(folder: Folder, names: list[str]) -> None:
    """Replaces the class folders."""
    for split in ("train", "eval"):
        shutil.rmtree(folder.root / "data" / split)
        for name in names:
            folder.write(f"{split}/{name}/1.png", PNG)


def test_folders_of_numbers_are_classes_in_the_order_of_their_values(folder: Folder) -> None:
    numbered(folder, ["0", "1", "2", "10"])
    assert folder.check() == []
    data = load(folder.root / "pipeline.yaml").config.data
    assert image_nodes.classes(data, data_files.trained_files(data)) == ["0", "1", "2", "10"]
    numbered(folder, ["c1", "c10", "c2"])
    assert image_nodes.classes(data, data_files.trained_files(data)) == ["c1", "c10", "c2"]


def test_an_imported_model_of_numbered_folders_needs_their_order(folder: Folder) -> None:
    numbered(folder, ["0", "1", "2", "10"])
    namespace: dict[str, Any] = {}
    exec(MODEL.replace("Dense(2", "Dense(4"), namespace)
    namespace["build_model"]({}).save(folder.root / "model.keras")
    (problem,) = folder.preflight("model={import: {path: model.keras}}")
    assert problem.key() == "data.classes"
    assert (
        "folders 0, 1, 2, 10 could be in this order or, as text, in the order 0, 1, 10, 2"
        in problem.message
    )
    assert (
        folder.preflight("model={import: {path: model.keras}}", "data.classes=['0', '1', '10', '2']") == []
    )
