"""What this machine is, what it can measure, and whether times that are taken here are to be
trusted.
"""

from .examine import Diagnosis, examine

__all__ = ["Diagnosis", "examine"]
