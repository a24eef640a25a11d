"""The loop and the linear step: what they own, what they leave alone, and what they compute."""

import pickle
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from looping import each

from samplerbench.benchmarks.conformance.problems import Rational
from samplerbench.samplers import (
    Grid,
    LinearMultistep,
    LinearRow,
    NoNoise,
    SampleNoise,
    Sampler,
    Source,
    get,
    integrate,
    jump,
    karras,
    make,
    names,
    non_default,
    registry,
    spec_of,
)


@dataclass(frozen=True, kw_only=True)
class Fixed(LinearMultistep):
    """Plays the rows that it is given."""

    name = "fixed"
    source = Source("", "", "")
    history = 2
    rows: tuple[LinearRow, ...] = ()

    def plan(self, grid):
        return list(self.rows)


ROWS = (
    LinearRow(2.0, a=0.5, b=(0.5,)),  # lerp
    LinearRow(1.5, a=1.0, b=(-0.3, 0.1), p=1.0, q=-1.0),  # eps entry, no scaling
    LinearRow(1.0, a=0.7, b=(0.2, 0.4, -0.1), c=0.25, p=0.5, q=2.0),  # general entry, noise
    jump(0.5),
)
GRID = Grid((2.0, 1.5, 1.0, 0.5, 0.0))


def by_formula(x, noise, denoise):
    """x <- a x + sum_j b_j m_{i-j} + c z, out of place."""
    entries = []
    for i, row in enumerate(ROWS):
        entries.insert(0, row.p * x + row.q * denoise(x, row.sigma))
        x = (
            row.a * x
            + sum(b * m for b, m in zip(row.b, entries, strict=False))
            + row.c * noise.at(i, 0.0, 0.0)()
        )
    return x


def test_every_form_of_the_linear_step_is_the_formula():
    noise = SampleNoise(0, torch.arange(5), (3,), torch.float64)
    x = noise.initial()
    expected = by_formula(x, noise, Rational())
    torch.testing.assert_close(
        integrate(Fixed(rows=ROWS), Rational(), x, GRID, noise), expected, rtol=1e-14, atol=1e-14
    )


def test_the_callers_tensor_is_kept_and_the_copy_is_stepped_in_place():
    x = torch.ones(2, 3)
    before = x.clone()
    seen = []

    def denoise(x, sigma):
        seen.append(x.data_ptr())
        return torch.zeros_like(x)

    make("euler").sample(denoise, x, karras(4, 0.1, 2.0), NoNoise())
    assert torch.equal(x, before)
    assert len(set(seen)) == 1
    assert x.data_ptr() not in seen


def test_on_step_gets_copies_of_every_state():
    states, levels = [], []

    def watch(i, level, x):
        assert i == len(states)
        states.append(x)
        levels.append(level)

    grid = karras(5, 0.1, 2.0)
    end = integrate(make("heun"), Rational(), torch.ones(2, 3), grid, NoNoise(), on_step=watch)
    assert levels == list(grid.sigma[1:])
    assert torch.equal(states[-1], end)
    assert len({state.data_ptr() for state in states}) == 5


def test_noise_is_asked_for_only_where_the_row_has_some():
    rows = (LinearRow(2.0, a=0.5, b=(0.5,)), jump(1.0))
    integrate(Fixed(rows=rows), Rational(), torch.ones(1, 2), Grid((2.0, 1.0, 0.0)), NoNoise())


def test_integrate__a_stochastic_sampler_without_noise_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"^sampler 'ddpm' draws noise; pass noise=0"):
        integrate(make("ddpm"), Rational(), torch.ones(1, 2), GRID, NoNoise())


def test_a_plan_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match=r"fixed: plan\(\) gave 1 rows for a grid of 2 steps"):
        integrate(
            Fixed(rows=(jump(1.0),)), Rational(), torch.ones(1, 2), Grid((2.0, 1.0, 0.0)), NoNoise()
        )


def test_linear_step__more_weights_than_kept_memos_are_refused_with_the_remedy():
    rows = (*ROWS[:2], LinearRow(1.0, a=0.7, b=(0.2, 0.4, -0.1)), jump(0.5))
    forgetful = type("Forgetful", (Fixed,), {"history": 1})(rows=rows)
    with pytest.raises(
        ValueError, match=r"has 3 weights b, but 1 earlier entries are kept; set .*history"
    ):
        integrate(forgetful, Rational(), torch.ones(1, 2), GRID, NoNoise())


def test_integrate__a_sampler_with_a_list_as_an_option_runs():
    sampler = Fixed(rows=[jump(2.0), jump(1.0)])  # type: ignore[arg-type]
    end = integrate(sampler, Rational(), torch.ones(1, 2), Grid((2.0, 1.0, 0.0)), NoNoise())
    assert end.isfinite().all()


def test_spec_of__samplers_that_name_a_redefined_class_use_the_new_one(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", {**registry._REGISTRY})
    ends = []
    for b in (0.5, 0.9):  # as a notebook's cell that is run again
        rows = (LinearRow(2.0, a=1 - b, b=(b,)), jump(1.0))
        made = type(
            "Redefined", (Fixed,), {"name": "redefined", "plan": lambda *_, r=rows: list(r)}
        )
        spec_of(dataclass(frozen=True, kw_only=True)(made)())
        specs = ("redefined", *(f"{w}='redefined')" for w in ("skip(sampler", "flow_time(method")))
        ends.append(
            [make(s).sample(lambda x, s: x / 9, torch.ones(1, 1), (2.0, 1.0, 0.0)) for s in specs]
        )
    assert all(not torch.equal(*pair) for pair in zip(*ends, strict=True))


@each("name", names())
def test_sampler__declarations_are_complete(name):
    cls = get(name)
    assert isinstance(make(name), Sampler)
    assert cls.__doc__
    assert cls.source.key
    assert cls.source.where
    assert cls.source.url.startswith("https://")
    assert not cls.same_as or cls.same_as in names()


def test_non_default_fields_are_the_configuration():
    assert non_default(make("ddim")) == {}
    assert non_default(make({"name": "ddim", "eta": 0.5})) == {"eta": 0.5}


def test_a_new_process__imports_the_files_of_its_samplers_only():
    code = (
        "import pickle, sys; from dataclasses import dataclass; from samplerbench import samplers\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Mine(samplers.get('euler')): name = 'ddpm'\n"
        "try: samplers.register(Mine)\n"
        "except samplers.PluginError as error: print(str(error)[:32])\n"
        "print(*(name.rpartition('.')[2] for name in sys.modules if '.methods.' in name))\n"
        "print(len([*map(pickle.loads, pickle.load(sys.stdin.buffer))]))"
    )
    sent = pickle.dumps([pickle.dumps(make(name)) for name in names()])
    shown = subprocess.run(
        [sys.executable, "-c", code], input=sent, capture_output=True, check=True
    )
    first, files, count = shown.stdout.decode().splitlines()
    assert first == "two samplers are called 'ddpm': "
    assert (files, int(count)) == ("edm ancestral", len(names()))
