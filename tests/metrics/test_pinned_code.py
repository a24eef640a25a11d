"""F8: the version of a built-in metric says which code gave a number, so that one that is edited needs
another version.

``python tests/metrics/test_pinned_code.py`` writes ``pinned_code.json`` anew. Do so after the version
of a metric was raised, or where the numbers are the same to the last bit.
"""

import ast
import hashlib
import json
import sys
from pathlib import Path

import pytest

from samplerbench.benchmarks import metrics as package
from samplerbench.benchmarks.metrics.metric import metrics, origin
from samplerbench.models.loaders.source_file import files_of_modules

PINNED = Path(__file__).with_name("pinned_code.json")
FOLDER = Path(package.__file__).parent


def digest(path):
    """Of the code of a module: its prose may be better said."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                each
                for each in body
                if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            ]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def pins():
    """Version and digests of the modules of each metric, as far as they are about metrics."""
    found = {}
    for metric in metrics().values():
        if not origin(metric):
            files = files_of_modules(sys.modules[metric.measure.__module__], "samplerbench")
            own = [Path(file) for file in files if Path(file).is_relative_to(FOLDER)]
            found[metric.name] = {
                "version": metric.version,
                "code": {
                    path.relative_to(FOLDER).as_posix(): digest(path)
                    for path in own
                    if path.name not in ("__init__.py", "metric.py")
                },
            }
    return found


@pytest.mark.slow
def test_metric__code_that_changed_has_another_version():
    before, now = json.loads(PINNED.read_text()), pins()
    assert before.keys() == now.keys(), f"run python {Path(__file__).name}"
    for name, metric in now.items():
        was = before[name]
        changed = [file for file, found in metric["code"].items() if was["code"].get(file) != found]
        raised = metric["version"] != was["version"]
        assert not changed or raised, (
            f"{', '.join(changed)} changed and the version of {name} did not: raise it, unless no "
            f"number moves, and run python {Path(__file__).name}"
        )
        assert metric == was, f"run python {Path(__file__).name}"


if __name__ == "__main__":
    PINNED.write_text(json.dumps(pins(), indent=1) + "\n")
