"""The OpenLineage client library's events, facets, serializer and names, without the package around them.

The package imports a client for each way to send events, HTTP libraries among them, which takes longer than all the
rest of a command. It stays unimported, so that others can import it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Any
from urllib.parse import urlsplit

_PACKAGE = "openlineage.client"


def _modules(*names: str) -> list[Any]:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}: install openlineage-python")
    known = sys.modules.get(_PACKAGE)
    sys.modules[_PACKAGE] = known or importlib.util.module_from_spec(spec)
    try:
        return [importlib.import_module(f"{_PACKAGE}.{name}") for name in names]
    finally:
        if known is None:
            del sys.modules[_PACKAGE]


events, facets, serde, _naming = _modules("event_v2", "facet_v2", "serde", "naming.dataset")


def dataset_name(uri: str) -> tuple[str, str]:
    """Namespace and name of a folder or file, as OpenLineage names datasets.

    https://openlineage.io/docs/spec/naming

    Args:
        uri: A path, or e.g. gs://bucket/path.
    """
    parts = urlsplit(uri)
    key = parts.path.strip("/")
    named: Any
    if parts.scheme in ("gs", "gcs") and key:
        named = _naming.GCS(bucket_name=parts.netloc, object_key=key)
    elif parts.scheme in ("s3", "s3a") and key:
        named = _naming.S3(bucket_name=parts.netloc, object_key=key)
    elif parts.scheme in ("", "file"):
        named = _naming.LocalFileSystem(path=os.path.abspath(parts.path if parts.scheme else uri))
    else:
        return f"{parts.scheme}://{parts.netloc}", parts.path or "/"
    return named.get_namespace(), named.get_name()
