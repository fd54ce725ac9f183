"""`graft`, under the name that model modules import it by."""

from components.common.models.grafting import graft

__all__ = ["graft"]
