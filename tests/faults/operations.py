"""What happens at a run's k-th change of a file: it is killed, or told that the disk is full.

Runs are forks of the process of the tests: what is computed once there is known to all of them, so
that every change of a run can be tried.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.move")
"""Audit events of Python's, of which all arguments are paths or flags; ``open`` is another."""


def changed(folder: Path, event: str, args: tuple[Any, ...]) -> str:
    """What an audit event is about to change below a folder, in words; "" for nothing."""
    if event == "open":
        path, _, flags = args
        if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return ""
        args = (path,)
    elif event not in CHANGES:
        return ""
    paths = [Path(os.fsdecode(arg)) for arg in args if isinstance(arg, str | bytes | os.PathLike)]
    inside = [path for path in paths if path.is_relative_to(folder)]
    return f"{event} {inside[0].relative_to(folder)}" if inside else ""


def watched(folder: Path, do: Callable[[int, str], None]) -> None:
    """From now on, call ``do`` with the number and the words of each change, before it is made."""
    made, inside = 0, False

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal made, inside
        if inside or not (what := changed(folder, event, args)):
            return
        made, inside = made + 1, True
        try:
            do(made - 1, what)
        finally:
            inside = False

    sys.addaudithook(hook)


def killed_at(number: int) -> Callable[[int, str], None]:
    """End the process before a change is made."""

    def do(now: int, _what: str) -> None:
        if now == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return do


def full_from(folder: Path, number: int, to: int | None = None) -> Callable[[int, str], None]:
    """A disk on which nothing new can be made from a change on, until another one."""

    def do(now: int, what: str) -> None:
        event, _, name = what.partition(" ")
        new = event in ("open", "os.mkdir", "os.link") and not (folder / name).exists()
        if new and number <= now and (to is None or now < to):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return do


def in_a_fork(run: Callable[[], Any]) -> tuple[int, Any]:
    """How a fork ended that did something: 0, or the number of the signal; and what it gave."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():  # threads here wait, and hold nothing
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            with os.fdopen(theirs, "w") as pipe:
                json.dump(run(), pipe)
        except BaseException as error:
            sys.__stderr__.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "the fork failed"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, json.loads(text) if text else None
