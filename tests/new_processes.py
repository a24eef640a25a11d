"""Commands in processes of their own, which have the libraries already: to import torch and pandas
takes longer than most commands.

A server imports them, and no module of this project; a command is a fork of it, with the folder,
environment and module path that it would have had.
"""

import atexit
import json
import subprocess
import sys
from functools import cache
from tempfile import TemporaryFile

LIBRARIES = (
    "jinja2", "numpy", "pandas", "pydantic", "pytest", "rich.live", "scipy.optimize",
    "scipy.spatial", "scipy.special", "torch", "torch._dynamo", "typer",
)  # fmt: skip

SERVER = f"""
import importlib, json, os, runpy, sys, warnings
for library in {LIBRARIES}:
    importlib.import_module(library)
assert not [name for name in sys.modules if name.startswith("samplerbench.")]
base = [path for path in sys.path if path]
for line in sys.stdin:
    asked = json.loads(line)
    process = os.fork()
    if process:
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
        continue
    for number in (1, 2):
        os.dup2(asked["streams"][number - 1], number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    mine = [path for path in asked["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [asked["cwd"], *mine, *base]
    sys.dont_write_bytecode = bool(asked["env"].get("PYTHONDONTWRITEBYTECODE"))
    importlib.invalidate_caches()
    if asked["strict"]:
        warnings.simplefilter("error")
    sys.argv[1:] = asked["args"]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    break
"""


@cache
def _server():
    """The process, and the files that commands write to, which it inherits."""
    streams = TemporaryFile(), TemporaryFile()  # noqa: SIM115 - open as long as the process
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[stream.fileno() for stream in streams],
    )
    atexit.register(server.kill)
    return server, streams


def command(*args, cwd, env, module="samplerbench.benchmarks", strict=False):
    """What ``python -m module args`` gives: (exit code, stdout, stderr).

    Args:
        args: words of the command line.
        cwd: its folder.
        env: its whole environment; what the libraries read of it was read before.
        module: of the project, or pytest.
        strict: whether warnings are errors.
    """
    server, streams = _server()
    for stream in streams:
        stream.seek(0)
        stream.truncate()
    asked = {
        "args": [str(word) for word in args], "cwd": str(cwd), "env": dict(env), "module": module,
        "strict": strict, "streams": [stream.fileno() for stream in streams],
    }  # fmt: skip
    server.stdin.write(json.dumps(asked) + "\n")
    server.stdin.flush()
    code = int(server.stdout.readline())
    for stream in streams:
        stream.seek(0)
    out, err = (stream.read().decode() for stream in streams)
    return code, out, err
