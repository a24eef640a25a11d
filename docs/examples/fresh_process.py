"""An executor that runs each task in a Python process of its own, which ends with it.

With a prefix, such as ``fresh:ssh other-machine``, the process is started by that command: all that
goes there and back are bytes of the standard streams.
"""

import os
import pickle
import shlex
import subprocess
import sys

from samplerbench.benchmarks.running.executors import (
    Failure,
    InProcess,
    Serial,
    packed,
    packed_result,
    unpacked,
)


class FreshProcess(Serial):
    """Tasks one after the other, each in a process of its own.

    Args:
        prefix: of the command that starts it.
    """

    keeps_limits = True

    def __init__(self, prefix=""):
        self.command = [*shlex.split(prefix), sys.executable, "-m", __name__]

    def run(self, task, context, *, tell=lambda _: None, limit=None):
        """The result of a task; its progress is not told."""
        sent = packed(task, context.setting)
        if sent is None:  # its class is known in this process only
            return InProcess().run(task, context, tell=tell)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(self.command, **pipes) as process:
            try:
                answer, _ = process.communicate(pickle.dumps(sent), timeout=limit)
            except subprocess.TimeoutExpired:
                raise Failure("timed out", f"no result after {limit:.0f} s") from None
            finally:  # after an interrupt, too
                process.kill()
                process.wait()
        if not answer:
            raise Failure("crashed", f"its process ended with exit code {process.returncode}")
        result = pickle.loads(answer)
        if isinstance(result, Exception):  # a Failure, or the ValueError of what is not prepared
            raise result
        return result


def main():
    """The other side: a task from the standard input, its result to the standard output."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the task prints is no part of the answer
    try:
        task, context = unpacked(*pickle.load(sys.stdin.buffer))
    except ValueError as error:
        answer.write(pickle.dumps(error))
    else:
        answer.write(packed_result(task, context))
    answer.flush()


if __name__ == "__main__":
    main()
