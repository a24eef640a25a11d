"""Fail if the wheel lacks a module or data file of the tree, or holds one that is not tracked."""

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

PACKAGES = ("samplers", "models", "benchmarks", "results", "samplerbench")
NOT_SHIPPED = ("results/reference/", "results/runs/")

tracked = subprocess.run(
    ["git", "ls-files", *PACKAGES], capture_output=True, text=True, check=True
).stdout.splitlines()
expected = {
    path.removeprefix("samplerbench/")
    for path in tracked
    if not path.startswith(NOT_SHIPPED) and not Path(path).is_symlink()
}
with zipfile.ZipFile(sys.argv[1]) as wheel:
    shipped = {
        str(PurePosixPath(n).relative_to("samplerbench"))
        for n in wheel.namelist()
        if n.startswith("samplerbench/")
    }
missing, extra = sorted(expected - shipped), sorted(shipped - expected)
if missing or extra:
    sys.exit(f"missing in the wheel: {missing}\nnot in the tree: {extra}")
print(f"{len(shipped)} files, the same in the wheel and in the tree")
