"""What others may ask of `target: server`."""

from __future__ import annotations

from components.common.base.runtime import LITERT
from components.targets.server.params import ServerOptions
from components.targets.target import Advice, Target, Unsupported

SERVER = Target(
    options=ServerOptions,
    runtime=LITERT,
    summary="TensorFlow Serving, KServe, or paredown serve",
    measures=(
        "accuracy, latency and loading on LiteRT on this machine's processor",
        "bytes of the file and gzipped",
    ),
    unsupported=(
        Unsupported(
            "io",
            "int8",
            "clients would have to quantize what they send and know the scale of each file; write io: float32, which "
            "the file quantizes itself",
        ),
        Unsupported(
            "io",
            "int16",
            "clients would have to quantize what they send and know the scale of each file; write io: float32, which "
            "the file quantizes itself",
        ),
    ),
    pushes={"serving": "components.targets.server.deployment.write"},
    advice=(
        Advice("convert int8, qat", True, "throughput: integer kernels; requests stay in float"),
        Advice("convert dynamic", True, "throughput of dense and recurrent layers, without calibration"),
        Advice(
            "prune_channels, distill",
            True,
            "throughput and memory of each replica: there is less to compute",
        ),
        Advice(
            "prune, cluster",
            False,
            "a server loads a file once, so that its compressed size saves nothing; kernels compute with zeros, too",
        ),
    ),
)
