"""One case for many values, which names every value that it fails for.

``each`` is written as ``pytest.mark.parametrize`` is. It is for what holds of all samplers, of all
modules or of a list of mistakes: the values share their code, and no one of them is run alone.
"""

import functools
import inspect

import pytest


def each(names, values, ids=None):
    """Return a decorator that calls a test for each value in turn.

    A test that asks for ``tmp_path`` or ``monkeypatch`` has a new one for each value.

    Args:
        names: arguments of the test, as a text with commas or as a tuple.
        values: for each call one value, or a tuple with one for each argument.
        ids: names of the values, or a function that names a value.
    """
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    values = list(values)
    rows = [(value,) if len(names) == 1 else tuple(value) for value in values]
    labels = list(map(_label, rows)) if ids is None else ids
    if callable(ids):
        labels = ["-".join(str(ids(part)) for part in row) for row in rows]

    def decorate(test):
        parameters = inspect.signature(test).parameters
        assert rows, f"{test.__name__} has no values"

        @functools.wraps(test)
        def run(**fixtures):
            failures = {}
            for index, (label, row) in enumerate(zip(labels, rows, strict=True)):
                own = dict(fixtures)
                if "tmp_path" in own:
                    own["tmp_path"] = own["tmp_path"] / str(index)
                    own["tmp_path"].mkdir()
                with pytest.MonkeyPatch.context() as patched:
                    if "monkeypatch" in own:
                        own["monkeypatch"] = patched
                    try:
                        test(**own, **dict(zip(names, row, strict=True)))
                    except (Exception, pytest.fail.Exception) as failure:
                        failures[f"{label} ({index})"] = failure
                    except pytest.skip.Exception as skipped:  # it would hide the other values
                        message = f"{label} cannot be skipped in a loop: {skipped}"
                        raise AssertionError(message) from skipped
            if failures:
                message = f"{len(failures)} of {len(rows)} fail: {', '.join(failures)}"
                raise BaseExceptionGroup(message, list(failures.values()))

        run.__signature__ = inspect.Signature(
            [parameter for name, parameter in parameters.items() if name not in names]
        )
        return run

    return decorate


def _label(row):
    """The name of a value, as short as a line can have it."""
    texts = [getattr(part, "__name__", None) or str(part) for part in row]
    return "-".join(text if len(text) <= 60 else text[:59] + "…" for text in texts)
