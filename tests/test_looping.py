"""The loop over values: all are run, all that fail are named, and none is skipped unseen."""

import pytest
from looping import each


def test_each__runs_every_value_and_names_all_that_fail():
    seen = []

    @each("number", range(5))
    def run(number):
        seen.append(number)
        assert number not in (1, 3)

    with pytest.raises(ExceptionGroup, match=r"2 of 5 fail: 1 \(1\), 3 \(3\)") as failed:
        run()
    assert seen == [0, 1, 2, 3, 4]
    assert len(failed.value.exceptions) == 2


def test_each__counts_an_exception_that_does_not_come_as_a_failure():
    @each(("what", "word"), [(1, "a"), (2, "b")], ids=lambda part: f"<{part}>")
    def run(what, word):
        with pytest.raises(ValueError, match="small"):
            assert what

    with pytest.raises(BaseExceptionGroup, match=r"2 of 2 fail: <1>-<a> \(0\), <2>-<b> \(1\)"):
        run()


def test_each__has_a_folder_and_patches_for_each_value(tmp_path, monkeypatch):
    @each("name", ["a", "b"])
    @each("letter", "xy")
    def run(name, letter, tmp_path, monkeypatch):
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "file").touch()
        assert not hasattr(pytest, "of_this_value")
        monkeypatch.setattr(pytest, "of_this_value", name, raising=False)

    run(tmp_path=tmp_path, monkeypatch=monkeypatch)
    assert not hasattr(pytest, "of_this_value")


def test_each__of_no_value_is_a_mistake():
    with pytest.raises(AssertionError, match="run has no values"):

        @each("name", [])
        def run(name): ...


def test_each__does_not_skip_since_that_would_hide_the_other_values():
    @each("name", ["a", "b"])
    def run(name):
        pytest.skip("not here")

    with pytest.raises(AssertionError, match="a cannot be skipped in a loop"):
        run()
