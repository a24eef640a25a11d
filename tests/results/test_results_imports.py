import os
import subprocess
import sys
from pathlib import Path

import samplerbench.results

CHECK = """
import importlib, pkgutil, sys
sys.modules["torch"] = None  # importing it now raises ImportError
import samplerbench.results as package
names = [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
from samplerbench.results.report.build import write_report
write_report(sys.argv[1], sys.argv[2])
print(len(names))
"""


def test_everything_works_without_torch(run, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(run.path), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    folder = Path(samplerbench.results.__path__[0])
    modules = [path for path in folder.rglob("*.py") if not {"reference", "runs"} & set(path.parts)]
    assert int(done.stdout) == len(modules) - 1  # the package itself is not listed
