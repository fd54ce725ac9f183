"""The `target` key: a kind or a mapping, default limits, and what a target does not measure."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from pipeline.checks.checked_config import load_checked
from pipeline.cli import main
from pipeline.config import schema
from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError

MNIST = Path("configs/mnist/pipeline.yaml")
SIZES = "target={kind: microcontroller, ram: 16 kB, flash: 64 KiB}"


def test_a_kind_is_a_mapping_with_that_kind_and_mobile_is_the_default() -> None:
    default = load(MNIST).config
    assert default.target == load(MNIST, ["target=mobile"]).config.target
    assert default.target.kind == "mobile" and "target" not in default.model_dump()
    short, long = (
        load(MNIST, [f"target={t}"]).config for t in ("microcontroller", "{kind: microcontroller}")
    )
    assert short.target == long.target and short.model_dump()["target"]["kind"] == "microcontroller"


def test_ram_and_flash_are_the_limits_that_the_gate_does_not_set() -> None:
    config = load(MNIST, [SIZES, "gate.memory={max: 8 kB, max_ratio: 0.5}"]).config
    assert [(key, limits.bounds()) for key, _, limits in config.judged_gate.device()] == [
        ("gate.memory", {"max": 8000, "max_ratio": 0.5}),
        ("gate.flash", {"max": 65536}),
    ]
    assert config.place_of("gate.memory.max") == ("gate", "memory", "max")
    assert config.place_of("gate.flash.max") == ("target", "flash")
    assert config.place_of("gate.size.max_ratio") == ("gate", "size", "max_ratio")
    assert load(MNIST, ["target=microcontroller"]).config.judged_gate.device() == []


@pytest.mark.parametrize(
    ("sets", "key", "message"),
    [
        (["target=watch"], "target", "'watch' is not one of mobile, microcontroller, web, server"),
        (
            ["target={kind: micro}"],
            "target.kind",
            "'micro' is not one of mobile, microcontroller, web, server; did you mean",
        ),
        (["push.web=true"], "push.web", "is for target: web, and the target is mobile"),
        (["gate.brotli_size={max: 9 kB}"], "gate.brotli_size", "write target: web"),
        (
            ["select={minimize: brotli_size}"],
            "select.minimize",
            "brotli_size is not measured for target: mobile",
        ),
        (["target=web", "gate.latency.threads=2"], "gate.latency.threads", "is measured on 1 thread"),
        (["push.serving={}"], "push.serving", "is for target: server, and the target is mobile"),
        (["push.tfjs={}"], "push.tfjs", "is for target: web, and the target is mobile"),
        (
            ["target=server", "push.serving={}", "push.directory=serving/My_Model"],
            "push.serving",
            "has no name, and 'My_Model', the name of push.directory, is not one on Kubernetes",
        ),
        (["target=server", "push.serving={replicas: [3, 2]}"], "push.serving", "write [2, 3]"),
        (["gate.p99={max: 9}"], "gate.p99", "is not measured for target: mobile; write target: server"),
        (["target={kind: server, clients: 0}"], "target.clients", "must be at least 1"),
        (["target=server", "push.serving={warmup: 2000}"], "push.serving.warmup", "must be at most 1000"),
        (["target={ram: 3}"], "target", "does not say which kind of target it is"),
        (["target=[a]"], "target", "must be one of mobile, microcontroller, web, server, or a mapping"),
        (["target={kind: microcontroller, rom: 1 kB}"], "target.rom", "unknown key; did you mean 'ram'?"),
        (["target={kind: microcontroller, ram: 0}"], "target.ram", "must be greater than 0"),
        (["target={kind: mobile, ram: 1 kB}"], "target.ram", "is not allowed here"),
        (
            ["gate.memory={max: 3 kB}"],
            "gate.memory",
            "is not measured for target: mobile; write target: microcontroller",
        ),
        (["gate.same_prediction={min: 0.9}"], "gate.same_prediction", "is not measured for target: mobile"),
        (["select={minimize: memory}"], "select.minimize", "memory is not measured for target: mobile"),
        (
            ["target=microcontroller", "gate.same_prediction={min: 2}"],
            "gate.same_prediction.min",
            "must be at most 1",
        ),
    ],
)
def test_one_mistake_is_one_problem_at_its_key(sets: list[str], key: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(MNIST, sets)
    (problem,) = error.value.problems
    assert problem.key() == key and message in problem.message


def test_the_schema_takes_what_the_config_takes() -> None:
    section = {**schema.whole()["properties"]["target"], "$defs": schema.whole()["$defs"]}
    for value in (
        "mobile",
        "microcontroller",
        "web",
        {"kind": "microcontroller", "ram": "16 kB", "flash": 65536},
    ):
        jsonschema.validate(value, section)
    for value in ("watch", {"kind": "microcontroller", "rom": 1}, 3):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, section)


def test_targets_are_listed_with_what_they_measure_and_need() -> None:
    done = CliRunner().invoke(main, ["targets", "--json"])
    assert done.exit_code == 0
    mobile, micro, web, server = json.loads(done.stdout)["targets"]
    assert (mobile["kind"], mobile["installed"], mobile["package"]) == ("mobile", True, None)
    assert (micro["package"], micro["install"]) == ("tflite-micro", "pip install --pre tflite-micro")
    assert micro["version"].startswith("0.dev") and micro["options"] == ["ram", "flash", "npu"]
    assert {one["technique"]: one["pays"] for one in micro["advice"]}["prune, cluster"] is False
    assert (web["package"], web["push"]) == ("@litertjs/core", ["web", "tfjs"])
    assert (server["package"], server["options"]) == (None, ["clients", "seconds", "threads", "max_batch"])
    text = CliRunner().invoke(main, ["targets"]).stdout
    assert "accuracy on TFLite Micro, on every eval example" in text


def test_the_plan_names_the_target() -> None:
    done = CliRunner().invoke(main, ["plan", "configs/mnist/microcontroller.yaml", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["target"] == {"kind": "microcontroller", "ram": 16_000, "flash": 64_000}
    plain = json.loads(CliRunner().invoke(main, ["plan", str(MNIST), "--json"]).stdout)
    assert plain["target"] == {"kind": "mobile"}


def test_files_for_browsers_have_a_fixed_batch_and_the_config_refuses_their_integers() -> None:
    config = load(MNIST, ["target=web"]).config
    assert config.baseline_conversion.fixed_batch
    assert all(config.with_defaults(chain.steps()[-1]).fixed_batch for chain in config.candidates.values())
    with pytest.raises(ConfigError) as error:
        load_checked(MNIST, ["target=web", "candidates={a: [{convert: {quantization: int8, io: int8}}]}"])
    (problem,) = error.value.problems
    assert problem.key() == "candidates.a[0].convert.io" and "write io: uint8" in problem.message
