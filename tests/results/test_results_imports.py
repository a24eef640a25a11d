import os
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import synthetic_run

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
table = package.load(sys.argv[1])
table.wide("rmse"), table.best_per_budget(), table.pareto(), table._repr_html_(), table.to_latex()
from samplerbench.results.figures import write_figures
write_figures(sys.argv[1], sys.argv[2], formats=["svg"], metrics=["rmse"], models=["m"], kinds=["work-precision"])
print(len(names))
"""


@pytest.mark.slow
def test_everything_works_without_torch(tmp_path):
    """Every module, and tables, figures and the report of a run."""
    run = synthetic_run(
        tmp_path / "run", models=("m",), orders={"euler": 1, "heun": 2}, budgets=(1, 5), samples=10
    )
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(run.path), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert {"report.html", "m-work-precision-rmse-nfe.svg"} <= {
        path.name for path in tmp_path.iterdir()
    }
    folder = Path(samplerbench.results.__path__[0])
    modules = [path for path in folder.rglob("*.py") if not {"reference", "runs"} & set(path.parts)]
    assert int(done.stdout) == len(modules) - 1  # the package itself is not listed
