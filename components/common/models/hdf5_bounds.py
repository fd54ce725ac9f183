"""Bounds on the content of an HDF5 file: arrays of about its own size, and nothing from other files."""

from __future__ import annotations

import h5py

from components.common.base import size_bounds
from components.common.models.model_format_error import ModelFormatError

# Exceptions of h5py for damaged files; SystemError if one occurs during a visit of HDF5.
DAMAGED = (
    *(OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, NotImplementedError),
    *(SystemError, MemoryError),
)


def check(file: h5py.File, stored: int) -> None:
    """Refuses a file that would unpack to far more than it stores, or that reads other files.

    Args:
        file: Open for reading.
        stored: Bytes of the file.

    Raises:
        ModelFormatError: If it is such a file.
        DAMAGED: If it is damaged.
    """
    total = 0

    # Exceptions do not pass through HDF5's C code; what is returned ends the visit.
    def look(name: str, value: object) -> str | None:
        nonlocal total
        if isinstance(value, h5py.Dataset):
            if value.external or value.is_virtual:
                return f"takes the values of {name!r} from other files"
            total += int(value.size or 0) * value.dtype.itemsize
        return None

    def look_at_link(name: str, link: object) -> str | None:
        return f"has a link {name!r} to another file" if isinstance(link, h5py.ExternalLink) else None

    if reason := file.visititems_links(look_at_link) or file.visititems(look):
        raise ModelFormatError(f"{reason}; save the model again with model.save")
    if fault := size_bounds.excess(stored, total):
        raise ModelFormatError(fault)
