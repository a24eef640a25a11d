"""Names with options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.benchmarks.schedules import make_schedule
from samplerbench.benchmarks.spec import format_spec, parse_spec

values = st.one_of(st.integers(-5, 5), st.floats(0.1, 9), st.booleans(), st.text("abc ()=,'\"", max_size=6))


@given(st.from_regex(r"[a-z][a-z0-9_.:/-]{0,8}", fullmatch=True), st.dictionaries(st.sampled_from(["eta", "rho", "r1"]), values))
def test_parse_is_the_inverse_of_format(name, options):
    spec = {"name": name, **options}
    assert parse_spec(format_spec(spec)) == spec


@pytest.mark.parametrize("text", ["ddim(0.5)", "ddim(eta=)", "ddim(eta=os.remove)", "ddim(eta=0.5", "", "(eta=1)", "ddim(**{'a': 1})"])
def test_what_is_no_spec_is_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match="cannot read"):
        parse_spec(text)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("karas", "did you mean karras?"),
        ("karras(roh=3)", "has no option 'roh'; its options: rho"),
        ("karras(rho='x')", "must be a float"),
        ("karras(rho=-1)", "rho must be positive"),
        ("uniform_time(process='vp')", "unknown process 'vp'"),
    ],
)
def test_schedule_mistakes(spec, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is compared below
        make_schedule(spec)
    assert sentence in str(error.value)


@pytest.mark.parametrize("spec", ["karras", "uniform_lambda", "uniform_time", "uniform_time(process='vp_cosine')", "uniform_time(power=2)"])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("to_zero", [True, False])
def test_every_schedule_has_the_steps_and_ends_that_were_asked_for(spec, steps, to_zero):
    grid = make_schedule(spec)(steps, 0.002, 80.0, to_zero=to_zero)
    assert len(grid) == steps
    assert grid.sigma[0] == 80.0
    assert grid.sigma[-1] == (0.0 if to_zero else 0.002)


def test_a_default_option_does_not_change_the_label():
    assert make_schedule("karras(rho=7)").label == make_schedule("karras").label == "karras"
    assert make_schedule("karras(rho=5)").label == "karras(rho=5)"
