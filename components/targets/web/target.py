"""The interface of `target: web` to the rest of the program."""

from __future__ import annotations

from components.common.base.runtime import LITERT_JS
from components.targets.target import Advice, Target, Unsupported
from components.targets.web.params import WebOptions

WEB = Target(
    options=WebOptions,
    runtime=LITERT_JS,
    summary="browsers: LiteRT.js (WebAssembly, one thread), measured in headless Chromium",
    measures=(
        "accuracy in Chromium, on every eval example",
        "share of predictions that are the same on LiteRT",
        "latency in Chromium, candidate and baseline in turns in one page",
        "bytes of the file, gzipped, and compressed with Brotli, as browsers download it",
    ),
    package="@litertjs/core",
    install="make web, or as docs/targets.md says",
    installation="components.common.tflite.litert_js.installation",
    figures=("same_prediction", "brotli_size"),
    unsupported=(
        Unsupported(
            "io",
            "int8",
            "LiteRT.js has no int8 inputs and outputs, as JavaScript programs make float32, int32 and uint8 arrays "
            "for it; leave io out, or write io: uint8",
        ),
        Unsupported(
            "io",
            "int16",
            "LiteRT.js has no int16 inputs and outputs; leave io out",
        ),
        Unsupported(
            "supported_ops",
            "SELECT_TF_OPS",
            "LiteRT.js has none of TensorFlow's own operators (Flex); leave it out, and build the model of layers "
            "that TFLite has",
        ),
    ),
    fixed_batch=True,
    threads=1,
    examination="components.targets.web.examination.examine",
    pushes={"web": "components.targets.web.page.write", "tfjs": "components.targets.web.tfjs.write"},
    pushes_example=("web", "tfjs"),
    advice=(
        Advice("convert int8, qat", True, "download and latency: a quarter of the bytes, integer kernels"),
        Advice("convert dynamic", True, "download: int8 weights without calibration"),
        Advice("convert float16", True, "download only: computes in float32"),
        Advice("prune_channels, distill", True, "download and latency: there is less to compute"),
        Advice(
            "prune, cluster",
            True,
            "download: web servers send the file compressed, which shrinks zeros and equal values; latency stays the "
            "same",
        ),
        Advice("convert with io: int8", False, "LiteRT.js does not load such files; write io: uint8"),
    ),
)
