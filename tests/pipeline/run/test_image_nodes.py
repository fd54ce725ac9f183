"""The first nodes of a run over image folders, by the launcher: what they write, and when they stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import read_records
from tests.pipeline.run.nodes import Log, run_up_to

pytestmark = pytest.mark.e2e

CONFIG = """\
name: pictures
data:
  format: images
  path: data
  splits: {train: "train/*/*", eval: "eval/*/*"}
  image: {size: [6, 8], channels: 3}
model: {module: configs.mnist.model}
candidates: {int8: [{convert: {quantization: int8}}]}
gate: {accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}}
push: {directory: serving}
"""
CLASSES = {"train": ["wasp", "ant", "bee"], "eval": ["ant", "wasp", "hornet"]}
COUNT = 4


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[np.ndarray]]]:
    """Split → class → its images."""
    generator = np.random.default_rng(2)
    return {
        split: {name: list(generator.integers(0, 256, (COUNT, 6, 8, 3), np.uint8)) for name in names}
        for split, names in CLASSES.items()
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, written: dict) -> Path:
    """A project whose eval split has a class that the train split has not."""
    root = tmp_path_factory.mktemp("pictures")
    (root / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    for split, classes in written.items():
        for name, images in classes.items():
            folder = root / "data" / split / name
            folder.mkdir(parents=True)
            for number, image in enumerate(images):
                (folder / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
    return root


def run_data_nodes(project: Path, root: Path, *overrides: str, last: str = "AnomalyGate") -> Log:
    """Runs the nodes up to one."""
    return run_up_to(project / "pipeline.yaml", root, last, f"data.path={project / 'data'}", *overrides)


def images_of(examples: Path, split: str) -> set[tuple[str, bytes]]:
    """Class and pixels of each example of a split."""
    found = []
    for path in examples.glob(f"Split-{split}/*.gz"):
        for record in read_records(path):
            feature = tf.train.Example.FromString(record).features.feature
            pixels = np.array(feature["image"].int64_list.value, np.uint8).tobytes()
            found.append((feature["label"].bytes_list.value[0].decode(), pixels))
    assert len(set(found)) == len(found)
    return set(found)


def test_an_unseen_label_in_eval_is_an_anomaly_and_train_gives_the_classes(
    project: Path, written: dict, tmp_path: Path
) -> None:
    from components.common.data.examples import Examples
    from components.common.data.model_inputs import InputSpec
    from components.common.data.vocabulary import VocabularyError

    root = tmp_path / "root"
    with pytest.raises(Exception, match=r"feature 'label' of split 'eval': unseen: .*: hornet;"):
        run_data_nodes(project, root)

    (examples_folder,) = root.glob("ImageExampleGen/examples/*")
    for split in CLASSES:
        wanted = {(name, image.tobytes()) for name, images in written[split].items() for image in images}
        assert images_of(examples_folder, split) == wanted

    (schema_folder,) = root.glob("SchemaGen/schema/*")
    examples = Examples(str(examples_folder), str(schema_folder), None, "label")
    inputs = {"image": InputSpec((6, 8, 3), np.float32)}
    arrays = examples.load("train", inputs)
    assert examples.vocabulary().names == ("ant", "bee", "wasp")
    for image, label in zip(arrays.features["image"], arrays.labels, strict=True):
        own = written["train"][("ant", "bee", "wasp")[label]]
        assert any(np.array_equal(image, other) for other in own)
    with pytest.raises(VocabularyError, match="split 'eval' has 'hornet'"):
        examples.load("eval", inputs)


def test_one_set_of_class_folders_is_divided_by_a_hash(
    project: Path, written: dict, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    splits = 'data.splits={pattern: "train/*/*", eval_fraction: 0.5}'
    run_data_nodes(project, root, splits, last="ImageExampleGen")

    (examples_folder,) = root.glob("ImageExampleGen/examples/*")
    train, evaluation = (images_of(examples_folder, split) for split in ("train", "eval"))
    assert train and evaluation and not train & evaluation
    everything = {(name, image.tobytes()) for name, images in written["train"].items() for image in images}
    assert train | evaluation == everything


def test_an_image_that_cannot_be_decoded_ends_the_run_by_its_name(project: Path, tmp_path: Path) -> None:
    path = project / "data/train/bee/0.png"
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)

    with pytest.raises(Exception, match=rf"{path} is damaged \(.*\); fetch or write it again"):
        run_data_nodes(project, tmp_path / "root")
    assert not list((tmp_path / "root").glob("StatisticsGen/statistics/*"))
