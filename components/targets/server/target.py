"""The interface of `target: server` to the rest of the program."""

from __future__ import annotations

from components.common.base.runtime import LITERT
from components.targets.server.params import ServerOptions
from components.targets.target import Advice, Target

SERVER = Target(
    options=ServerOptions,
    runtime=LITERT,
    summary="TensorFlow Serving, KServe, or paredown serve",
    measures=(
        "accuracy, latency and loading on LiteRT on this machine's processor",
        "bytes of the file and gzipped",
        "predictions by REST and gRPC, compared with LiteRT's",
        "requests a second and 99th percentile of paredown serve, batched and unbatched",
    ),
    figures=("throughput", "p99"),
    pushes={"serving": "components.targets.server.deployment.write"},
    advice=(
        Advice(
            "convert int8, qat",
            True,
            "throughput: integer kernels; clients send and get real numbers also with io: int8",
        ),
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
