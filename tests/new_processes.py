"""Processes that have the libraries and this project already: to import them takes longer than most
commands, and than most tasks of a worker.

A server imports them, and runs nothing; a process is a fork of it, with the folder, environment,
module path, and files that it would have had, and a child of the process that asked. What a command
imports by itself is seen in tests/test_package.py and tests/results/test_results_imports.py.
"""

import atexit
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryFile
from threading import Lock

import pytest

LIBRARIES = (
    "jinja2", "numpy", "pandas", "pydantic.main", "pytest", "rich.live", "safetensors.torch",
    "scipy.integrate", "scipy.optimize", "scipy.spatial", "scipy.special", "torch",
    "typer",
    "samplerbench.benchmarks.api", "samplerbench.benchmarks.cli.run",
    "samplerbench.benchmarks.running.executors.worker", "samplerbench.results.report.build",
    "samplerbench.results.terminal.ranking",
)  # fmt: skip

SERVER = f"""
import atexit, fcntl, gc, importlib, json, os, runpy, signal, socket, sys, threading, warnings
for library in {LIBRARIES}:
    importlib.import_module(library)
gc.collect()
gc.freeze()  # an end need not walk through it
base = [path for path in sys.path if path]
asking = socket.socket(fileno=int(sys.argv[1]))
while True:
    text, received, *_ = socket.recv_fds(asking, 2**20, 64)
    if not text:
        sys.exit()
    asked = json.loads(text)
    between = os.fork()
    if between:
        os.waitpid(between, 0)  # the process is its grandparent's by now
        for fd in received:
            os.close(fd)
        asking.send(b"done")
        continue
    process = os.fork()
    if process:
        if asked["group"] >= 0:
            os.setpgid(process, asked["group"])
        asking.send(str(process).encode())
        os._exit(0)
    asking.close()
    apart = [fcntl.fcntl(fd, fcntl.F_DUPFD, 512) for fd in received]  # no number is taken
    for fd in received:
        os.close(fd)
    for fd, number in zip(apart, asked["numbers"], strict=True):
        os.dup2(fd, number)
        os.close(fd)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN if asked["deaf"] else signal.default_int_handler
    )
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    mine = [path for path in asked["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [asked["cwd"], *mine, *base]
    sys.dont_write_bytecode = bool(asked["env"].get("PYTHONDONTWRITEBYTECODE"))
    importlib.invalidate_caches()
    while asked["words"][0] not in ("-c", "-m"):
        option = asked["words"].pop(0)
        if option == "-B":
            sys.dont_write_bytecode = True
        else:  # -W error
            warnings.simplefilter(asked["words"].pop(0))
    how, what, *rest = asked["words"]
    sys.argv[:] = ["-c", *rest]
    code = 0
    try:
        if how == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = main = type(sys)("__main__")
            exec(compile(what, "<string>", "exec"), vars(main))
    except SystemExit as stop:
        if not isinstance(stop.code, int | None):
            raise
        code = stop.code or 0
    # as Python ends, without taking all libraries apart, which takes as long as a task
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
"""

_ONE = Lock()
_plain = subprocess.Popen


@cache
def _server():
    """The socket on which processes are asked for."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        words = [sys.executable, "-c", SERVER, str(theirs.fileno())]
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # no test edits what it imports
        server = _plain(words, pass_fds=[theirs.fileno()], env=env)
    atexit.register(server.wait)  # ends when the socket is closed
    atexit.register(ours.close)
    return ours


def _fork(asked, files):
    """The process number of a fork of the server, which is a child of this process."""
    with _ONE:
        server = _server()
        _adopting(True)
        try:
            socket.send_fds(server, [json.dumps(asked).encode()], files)
            process = int(server.recv(64))
            assert server.recv(64) == b"done"
        finally:
            _adopting(False)
    return process


def _adopting(on):
    """Whether this process becomes the parent of descendants whose own has ended, which is what
    PR_SET_CHILD_SUBREAPER, number 36 of prctl, says on Linux.
    """
    assert ctypes.CDLL(None).prctl(36, ctypes.c_ulong(on), 0, 0, 0) == 0


class Popen(subprocess.Popen):
    """The standard one; ``python -c CODE`` and ``-m MODULE`` with their words, behind ``-B`` and
    ``-W ACTION``, are by way of the server. What the libraries read of the environment, they read
    before.
    """

    def _execute_child(self, args, *how):
        python, *words = [args] if isinstance(args, str) else map(str, args)
        known = python == sys.executable and words[0] in ("-B", "-W", "-c", "-m")
        if not known or sys.platform != "linux":  # elsewhere as ever, and slower
            return super()._execute_child(args, *how)
        pass_fds, cwd, env, *_ = how[3:]
        p2cread, _, _, c2pwrite, _, errwrite = pipes = how[9:15]
        ends = (p2cread, c2pwrite, errwrite)
        files = {number: number if end == -1 else end for number, end in enumerate(ends)}
        files |= {number: number for number in pass_fds}
        asked = {
            "words": words, "numbers": list(files), "cwd": str(cwd or os.getcwd()),
            "env": dict(os.environ if env is None else env), "group": how[-1],
            "deaf": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        }  # fmt: skip
        try:
            self.pid = _fork(asked, list(files.values()))
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)


def fork_from_here():
    """All that this process starts from now on are forks of it as it is: for one that is itself a
    fork of the server, before it runs anything of this project.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        sys.argv = ["-c", str(theirs.fileno())]
        try:
            exec(SERVER, {"__name__": "server"})
        finally:
            os._exit(0)  # its part of the code that forked it is not run
    theirs.close()
    globals()["_server"] = lambda: ours
    subprocess.Popen = Popen


@contextmanager
def ready():
    """All that this process starts meanwhile has the libraries already."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocess, "Popen", Popen)
        yield


def command(*args, cwd, env, module="samplerbench.benchmarks", strict=False):
    """What ``python -m module args`` gives: (exit code, stdout, stderr).

    Args:
        args: words of the command line.
        cwd: its folder.
        env: its whole environment.
        module: of the project, or pytest.
        strict: whether warnings are errors.
    """
    warnings = ["-W", "error"] if strict else []
    words = [sys.executable, *warnings, "-m", module, *map(str, args)]
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err}
        with Popen(words, cwd=cwd, env=env, **streams) as process:
            code = process.wait()
        said = []
        for stream in (out, err):
            stream.seek(0)
            said.append(stream.read())
    return code, *said
