"""The C++ sources of a pushed model: compiled against TFLite Micro's declarations, and their numbers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.common.base import file_hashes
from components.common.base.npu_options import Npu
from components.common.models import model_files
from components.common.tflite import vela
from components.common.tflite.tflm import TFLMError, TFLMModel
from components.pusher import beside
from components.targets.microcontroller import c_array
from tests.components.conftest import Step
from tests.conftest import Digits, Trained
from tests.servers import programs

# The declarations of TFLite Micro that the sources use, without the definitions.
HEADERS = {
    "tensorflow/lite/c/common.h": """
#pragma once
#include <cstddef>
#include <cstdint>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
enum TfLiteType { kTfLiteFloat32 = 1, kTfLiteInt32 = 2, kTfLiteUInt8 = 3, kTfLiteInt64 = 4, kTfLiteInt16 = 7,
                  kTfLiteInt8 = 9 };
union TfLitePtrUnion { void* data; };
struct TfLiteTensor { TfLiteType type; TfLitePtrUnion data; size_t bytes; };
#define TF_LITE_ENSURE_STATUS(a) do { const TfLiteStatus s = (a); if (s != kTfLiteOk) return s; } while (0)
""",
    "tensorflow/lite/micro/micro_mutable_op_resolver.h": """
#pragma once
#include "tensorflow/lite/c/common.h"
namespace tflite {
class MicroOpResolver {};
template <unsigned int tOpCount> class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddConv2D(); TfLiteStatus AddDepthwiseConv2D(); TfLiteStatus AddFullyConnected();
  TfLiteStatus AddMaxPool2D(); TfLiteStatus AddReshape(); TfLiteStatus AddSoftmax(); TfLiteStatus AddQuantize();
  TfLiteStatus AddDequantize(); TfLiteStatus AddPack(); TfLiteStatus AddShape(); TfLiteStatus AddStridedSlice();
  TfLiteStatus AddDecode();
};
}
""",
    "tensorflow/lite/micro/micro_interpreter.h": """
#pragma once
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
namespace tflite {
class MicroInterpreter {
 public:
  MicroInterpreter(const Model* model, const MicroOpResolver& resolver, uint8_t* arena, size_t size);
  TfLiteStatus AllocateTensors(); TfLiteStatus Invoke(); size_t arena_used_bytes() const;
  TfLiteTensor* input(size_t index); TfLiteTensor* output(size_t index);
};
}
""",
    "tensorflow/lite/micro/micro_log.h": "#pragma once\nvoid MicroPrintf(const char* format, ...);\n",
    "tensorflow/lite/micro/system_setup.h": "#pragma once\nnamespace tflite { void InitializeTarget(); }\n",
    "tensorflow/lite/schema/schema_generated.h": """
#pragma once
#include <cstdint>
#define TFLITE_SCHEMA_VERSION (3)
namespace tflite { struct Model { uint32_t version() const; }; const Model* GetModel(const void* data); }
""",
}
# Writes the array to standard output, then the constants to standard error.
PROGRAM = """
#include <cstdio>
#include "example.h"
int main() {
  std::fwrite(paredown::kModel, 1, paredown::kModelSize, stdout);
  std::fprintf(stderr, "%d %d %.9g %d %.9g %d\\n", paredown::kArenaSize,
               static_cast<int>(reinterpret_cast<uintptr_t>(paredown::kModel) % 16), paredown::kInput0Scale,
               paredown::kInput0ZeroPoint, paredown::kOutput0Scale, paredown::kOutput0ZeroPoint);
  for (auto value : paredown::kExampleInput0) std::fprintf(stderr, "%d ", static_cast<int>(value));
  std::fprintf(stderr, "\\n");
  for (auto value : paredown::kExampleOutput0) std::fprintf(stderr, "%d ", static_cast<int>(value));
}
"""


# Of Debian.
PACKAGES = {"g++": "g++", "arm-none-eabi-g++": "gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib"}


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    for name, text in HEADERS.items():
        path = tmp_path / "headers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "headers"


def test_a_compiled_file_is_pushed_beside_the_plain_one(
    converted: Callable[..., Step], trained: Trained, tmp_path: Path
) -> None:
    serving = Path(converted(trained.uri, "int8", "int8").uri, "Format-Serving")
    npu = Npu(accelerator="ethos-u55-128")

    pushed = beside.add(serving, file_hashes.digests(serving), [], tmp_path, npu)

    assert pushed.keys() == {"tflite", "model.vela.tflite"}
    compiled = vela.compile_file((serving / "tflite").read_bytes(), npu).content
    assert (tmp_path / "model.vela.tflite").read_bytes() == compiled


def test_sources_of_a_packed_file_register_its_decoder_and_count_its_memory(
    headers: Path,
    converted: Callable[..., Step],
    clustered: Step,
    data: dict[str, str],
    tmp_path: Path,
) -> None:
    cxx = programs.find(PACKAGES["g++"], "g++")[0]
    uri = converted(clustered.uri, "int8", "int8", pack="lut").uri
    plain = Path(model_files.tflite_file(uri)).read_bytes()
    packed = Path(model_files.packed_file(uri)).read_bytes()
    judged = file_hashes.digests(Path(uri, "Format-Serving"))
    folder = tmp_path / "pushed"
    folder.mkdir()

    write = "components.targets.microcontroller.c_array.write"
    pushed = beside.add(Path(uri, "Format-Serving"), judged, [write], folder, data={write: data})

    assert {"tflite", "model.packed.tflite", "c/model.cc"} <= pushed.keys()
    header = (folder / "c" / "model.h").read_text(encoding="utf-8")
    assert "resolver.AddDecode()" in header and f"kModelSize = {len(packed)};" in header
    arena = int(re.findall(r"kArenaSize = (\d+);", header)[0])
    assert TFLMModel(plain).arena().total < TFLMModel(packed).arena().total <= arena
    TFLMModel(packed, arena)
    assert "SetDecompressionMemory" in (folder / "c" / "README.md").read_text(encoding="utf-8")
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{headers}"]
    subprocess.run([cxx, *flags, folder / "c" / "main.cc"], check=True)


def written(
    converted: Callable[..., Step], trained: Trained, data: dict[str, str], folder: Path, *asked: str
) -> tuple[bytes, Path]:
    content = Path(model_files.tflite_file(converted(trained.uri, *asked).uri)).read_bytes()
    names = c_array.write(content, folder, data)
    assert {str(path.relative_to(folder)) for path in (folder / "c").iterdir()} == set(names)
    return content, folder / "c"


@pytest.mark.parametrize("asked", [("int8", "int8"), ("int8",), ("float32",)], ids=" ".join)
@pytest.mark.parametrize("name", ["g++", pytest.param("arm-none-eabi-g++", marks=pytest.mark.soak)])
def test_the_sources_are_cpp(
    asked: tuple[str, ...],
    name: str,
    headers: Path,
    converted: Callable[..., Step],
    trained: Trained,
    data: dict[str, str],
    tmp_path: Path,
) -> None:
    cxx = programs.find(PACKAGES[name], name)[0]
    _, folder = written(converted, trained, data, tmp_path, *asked)
    for source in ("model.cc", "main.cc"):
        subprocess.run(
            [
                cxx,
                "-std=c++17",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-fsyntax-only",
                f"-I{headers}",
                folder / source,
            ],
            check=True,
        )


def test_the_array_is_the_file_and_the_example_is_what_tflite_micro_makes_of_it(
    headers: Path,
    converted: Callable[..., Step],
    trained: Trained,
    data: dict[str, str],
    mnist_arrays: dict[str, Digits],
    tmp_path: Path,
) -> None:
    cxx = programs.find(PACKAGES["g++"], "g++")[0]
    content, folder = written(converted, trained, data, tmp_path, "int8", "int8")
    (folder / "dump.cc").write_text(PROGRAM, encoding="utf-8")
    program = tmp_path / "dump"
    sources = [folder / "model.cc", folder / "dump.cc"]
    subprocess.run([cxx, "-std=c++17", f"-I{headers}", *sources, "-o", program], check=True)
    done = subprocess.run([program], check=True, capture_output=True)

    assert done.stdout == content
    facts, given, wanted = done.stderr.decode().splitlines()
    model = TFLMModel(content)
    arena, alignment, *quantization = facts.split()
    assert alignment == "0" and model.arena().total <= int(arena) <= model.arena().total + 512
    TFLMModel(content, int(arena))
    image = np.array(given.split(), np.int8)
    pixels = image.astype(np.int16) + 128
    evaluated = mnist_arrays["eval"].images.reshape(-1, 784)
    assert (evaluated == pixels).all(axis=1).any()  # a real one
    assert model.run({"image": image})["probabilities"].tolist() == [int(value) for value in wanted.split()]
    scale, zero_point = float(quantization[0]), int(quantization[1])
    assert (scale, zero_point) == (1.0, -128)  # pixels go in as they are, 0 to 255
    assert (float(quantization[2]), int(quantization[3])) == (1 / 256, -128)


def test_the_resolver_has_exactly_the_operators_of_the_file(
    converted: Callable[..., Step], trained: Trained, data: dict[str, str], tmp_path: Path
) -> None:
    _, folder = written(converted, trained, data, tmp_path, "int8", "int8")
    header = (folder / "model.h").read_text(encoding="utf-8")
    added = re.findall(r"resolver\.(Add\w+)\(\)", header)
    assert f"MicroMutableOpResolver<{len(added)}>" in header
    assert {"AddConv2D", "AddFullyConnected", "AddSoftmax"} <= set(added)
    assert {"AddQuantize", "AddDequantize", "AddAdd"}.isdisjoint(added)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "| input 0 | image | int8_t | 1 x 28 x 28 x 1 |" in readme


def test_what_tflite_micro_cannot_run_has_no_sources(
    converted: Callable[..., Step], trained: Trained, data: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(TFLMError, match="hybrid"):
        written(converted, trained, data, tmp_path, "dynamic")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("L2_POOL_2D", "AddL2Pool2D"),
        ("RELU6", "AddRelu6"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("SPACE_TO_BATCH_ND", "AddSpaceToBatchNd"),
        ("RESIZE_NEAREST_NEIGHBOR", "AddResizeNearestNeighbor"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
    ],
)
def test_methods_are_named_as_in_micro_mutable_op_resolver(operator: str, method: str) -> None:
    assert c_array.resolver_method(operator) == method
