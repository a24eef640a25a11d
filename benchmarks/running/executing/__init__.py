"""Where tasks run: in this process, or in one of their own that may crash or hang.

What is imported here is quick to import.
"""

from .executor import Call, Executor, Failure, InProcess, Task, Tell
from .worker import Worker

__all__ = ["Call", "Executor", "Failure", "InProcess", "Task", "Tell", "Worker"]
