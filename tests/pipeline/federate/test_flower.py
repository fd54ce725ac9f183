"""An exported app, trained by a SuperLink and two SuperNodes on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from components.federated_trainer.record import FederatedRecord
from pipeline.cli.federate import federate
from pipeline.federate.export import REQUIREMENTS
from tests.conftest import MNIST_HPARAMS, MNIST_MODULE, SEED

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[3]
# An environment that has Flower already, in place of one that is made for the test.
FOLDER_VARIABLE = "PAREDOWN_FLOWER"
SETS = (
    "model.train={batch_size: 50, federated: {clients: {dirichlet: 0.5, count: 2}, rounds: 2, batch_norm: average, "
    "updates: {compress: int8}}}",
    f"model.hparams={json.dumps(MNIST_HPARAMS)}",
    f"run.seed={SEED}",
)
# The simulation, by the same TensorFlow as the app's.
SIMULATION = """
import json, sys
import numpy as np
from components.common.data.arrays import Arrays
from components.federated_trainer.client_split import Split
from components.federated_trainer.federation import Federation
from paredown_app import task

folder, output = sys.argv[1:]
parts = {}
for name in ("client-0", "client-1"):
    for split in ("train", "eval"):
        with np.load(f"{folder}/{name}-{split}.npz") as file:
            parts[name, split] = dict(file)
whole, ranges = {}, {}
for split in ("train", "eval"):
    pair = [parts[name, split] for name in ("client-0", "client-1")]
    joined = {key: np.concatenate([one[key] for one in pair]) for key in pair[0]}
    whole[split] = Arrays({"image": joined["image"]}, joined["label"])
    count = len(pair[0]["label"])
    ranges[split] = {"client-0": np.arange(count), "client-1": np.arange(count, len(joined["label"]))}
model = task.build()
Federation(
    model, (whole["train"], whole["eval"]), Split(ranges["train"], ranges["eval"]), task.OPTIONS,
    task.SETTINGS["batch_size"], task.SEED,
).run()
model.save(output)
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment with Flower."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given) / "bin"
    python = next(filter(None, map(shutil.which, ("python3.12", "python3.13", "python3.11"))), None)
    folder = tmp_path_factory.mktemp("flower") / "venv"
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *REQUIREMENTS]
    shown = (
        f"python3.12 -m venv {folder} && {' '.join(map(repr, command))}; then {FOLDER_VARIABLE}={folder}"
    )
    try:
        if python is None:
            raise OSError("there is no Python 3.11 to 3.13")
        subprocess.run([python, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=120)
        subprocess.run(command, check=True, capture_output=True, timeout=900)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"Flower does not install here ({error}); try: {shown}")
    return folder / "bin"


def write_clients(examples: Any, folder: Path) -> None:
    """Writes the examples of each client as the simulation divides them."""
    from components.common.models import model_files
    from components.common.models.model_definition import ModelDefinition
    from components.federated_trainer import client_examples
    from components.federated_trainer.params import Clients

    model = ModelDefinition(MNIST_MODULE, MNIST_HPARAMS).build()
    specs = model_files.input_specs(model, list(examples.feature_spec()), "label")
    owned = {split: client_examples.load(examples, split, specs, None) for split in ("train", "eval")}
    rule = Clients(dirichlet=0.5, count=2)
    split = client_examples.divided(rule, owned["train"], owned["eval"], SEED)
    for name, of_client in (("train", split.train), ("eval", split.eval)):
        for client, indices in of_client.items():
            taken = owned[name][0].take(indices)
            np.savez(
                folder / f"{client}-{name}.npz", **taken.feature_arrays(), label=np.asarray(taken.labels)
            )


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def running(
    log: Path, command: list[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, which ends with all that it started."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for kind in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, kind)
                process.wait(timeout=20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def _tried(command: list[str], environment: dict[str, str]) -> str:
    """What a run prints until it ends, or until it has taken far too long."""
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired as error:
        return f"{error}: {error.stdout!r}"
    return done.stdout + done.stderr


def weights_of(path: Path) -> dict[str, np.ndarray]:
    """Name → weight in a Keras file."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file["model_weights"].visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def test_two_supernodes_train_the_model_of_the_simulation(
    programs: Path, mnist_examples: Any, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    sets = [part for one in SETS for part in ("--set", one)]
    exported = CliRunner().invoke(
        federate, ["export", str(ROOT / "configs/federated/pipeline.yaml"), "-o", str(app), *sets]
    )
    assert exported.exit_code == 0, exported.output
    write_clients(mnist_examples, tmp_path)
    link_port, *own = free_ports(3)
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{link_port}"\ninsecure = true\n'
    )
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "LANG") if name in os.environ}
    environment = {
        **kept,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    trained = tmp_path / "trained.h5"
    with ExitStack() as stack:
        link = [
            str(programs / "flower-superlink"), "--insecure", "--disable-runtime-dependency-installation",
            "--host", "127.0.0.1", "--port", str(link_port),
        ]  # fmt: skip
        stack.enter_context(running(tmp_path / "link.log", link, environment))
        for client, port in zip(("client-0", "client-1"), own, strict=True):
            paths = {split: tmp_path / f"{client}-{split}.npz" for split in ("train", "eval")}
            given = " ".join(f"{split}='{path}'" for split, path in paths.items())
            node = [
                str(programs / "flower-supernode"), "--insecure", "--superlink", f"127.0.0.1:{link_port}",
                "--port", str(port), "--node-config", f"client='{client}' {given}",
            ]  # fmt: skip
            stack.enter_context(running(tmp_path / f"{client}.log", node, environment))
        run = [str(programs / "flwr"), "run", str(app), "here", "--stream"]
        run += ["--run-config", f"output='{trained}' deadline=200.0"]
        until = time.monotonic() + 60
        while "unavailable" in (done := _tried(run, environment)) and time.monotonic() < until:
            time.sleep(2)
        logs = [
            done,
            *(path.read_text(errors="replace")[-3000:] for path in sorted(tmp_path.glob("*.log"))),
        ]
        assert trained.exists(), "\n".join(logs)
    simulated = tmp_path / "simulated.h5"
    subprocess.run(
        [str(programs / "python"), "-c", SIMULATION, str(tmp_path), str(simulated)],
        env={**environment, "PYTHONPATH": f"{app}:{ROOT}"},
        check=True,
        timeout=600,
    )
    found, expected = weights_of(trained), weights_of(simulated)
    assert found.keys() == expected.keys() and len(found) > 10
    # The same TensorFlow: bit by bit.
    for name, weight in found.items():
        assert (weight == expected[name]).all(), name
    record = FederatedRecord.read(tmp_path / "trained.federated.json")
    assert [one.clients for one in record.rounds] == [2, 2] and not any(one.failed for one in record.rounds)
    assert 0.25 < record.bytes_up / record.bytes_down < 0.3
    assert [client.name for client in record.clients] == ["client-0", "client-1"]
    _nearly_as_here(mnist_examples, tmp_path / "here", trained)


def _nearly_as_here(examples: Any, output: Path, trained: Path) -> None:
    """The model comes back by `model.import`, and is that of the simulation here, by another TensorFlow.

    That adds in another order, and stochastic rounding turns some of the differences into a level of int8.
    """
    from components.common.models import model_files
    from components.common.models.model_definition import ModelDefinition
    from components.federated_trainer.params import BaselineOptions, Federated
    from components.federated_trainer.run_fn import train_federated
    from components.model_importer.params import ImportOptions
    from pipeline.plan.import_source import import_source

    options = Federated.model_validate(
        {
            "clients": {"dirichlet": 0.5, "count": 2},
            "rounds": 2,
            "batch_norm": "average",
            "updates": {"compress": "int8"},
        }
    )
    plain = BaselineOptions(batch_size=50).plain()
    definition = ModelDefinition(MNIST_MODULE, MNIST_HPARAMS)
    train_federated(examples, str(output), str(output / "logs"), definition, plain, options, SEED)
    source = import_source(ImportOptions(weights=str(trained)))
    imported = ModelDefinition(MNIST_MODULE, MNIST_HPARAMS, source).build()
    pairs = zip(model_files.load(str(output)).get_weights(), imported.get_weights(), strict=True)
    here, there = (
        np.concatenate([weight.ravel() for weight in weights]) for weights in zip(*pairs, strict=True)
    )
    print("distance to another TensorFlow:", np.linalg.norm(here - there) / np.linalg.norm(here))
    assert np.linalg.norm(here - there) <= 1e-3 * np.linalg.norm(here)
