"""The interface of `target: mobile` to the rest of the program."""

from components.common.base.runtime import LITERT
from components.targets.mobile.params import MobileOptions
from components.targets.target import Advice, Target

MOBILE = Target(
    options=MobileOptions,
    runtime=LITERT,
    summary="phones and small computers: LiteRT with its default delegate (XNNPACK)",
    measures=(
        "accuracy, latency and loading on LiteRT on this machine's processor",
        "bytes of the file and gzipped",
    ),
    advice=(
        Advice("convert int8, qat", True, "latency and size: integer kernels, a quarter of the bytes"),
        Advice("convert dynamic", True, "size and latency: int8 weights without calibration"),
        Advice("prune_channels, distill", True, "latency, size and memory: there is less to compute"),
        Advice(
            "prune, cluster",
            True,
            "only the compressed download: kernels compute with zeros and equal values, too",
        ),
    ),
)
