"""Run directories without rows."""

from samplerbench.results.run_directory.run_dir import RunDir


def new_run(path):
    """The run directory at this path, which is created if missing."""
    run = RunDir.at(path)
    with run.lock():
        pass
    return run
