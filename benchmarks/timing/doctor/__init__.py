"""What this machine is, what it can measure, and whether times taken here can be trusted."""

from .examine import Diagnosis, examine

__all__ = ["Diagnosis", "examine"]
