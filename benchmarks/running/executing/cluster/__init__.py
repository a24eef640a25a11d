"""Tasks on a cluster of machines, with Ray (the extra ``cluster``), which is imported on use."""

from .ray_executor import Ray

__all__ = ["Ray"]
