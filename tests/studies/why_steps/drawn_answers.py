"""Answers of rows to invented measurements, with their figures."""

import fcntl
import os
import pickle
from functools import cache
from pathlib import Path

from invented import INVENTED

from samplerbench_studies.why_steps.rows import rows


@cache
def answered(number):
    """What the row tells of them: drawing takes seconds, and no test changes it, so that the
    workers of one test run draw each once.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return rows()[number].answer(INVENTED[number]())
    path = Path(os.environ["SAMPLERBENCH_CACHE"]) / run / f"row-{number}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the other worker may be drawing it
        if not file.tell():
            pickle.dump(rows()[number].answer(INVENTED[number]()), file)
            file.flush()
        file.seek(0)
        return pickle.load(file)
