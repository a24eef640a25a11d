import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.models import Denoiser, make_model, model_names

GOOD = """
    import torch

    class Model:
        event, sigma_min, sigma_max = (3,), 0.01, 10.0

        def __init__(self, scale):
            self.scale = scale

        def __call__(self, x, sigma):
            sigma = sigma[:, None] if isinstance(sigma, torch.Tensor) else sigma
            return x * self.scale**2 / (self.scale**2 + sigma**2)

        def sample(self, n, seed):
            return self.scale * torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))

        def mode_of(self, x):
            return (x[:, 0] > 0).long()

    class Exact(Model):
        def moments(self):
            return [0.0] * 3, self.scale**2 * torch.eye(3)

    class Drawn(Model):
        def bind(self, ids, seed):
            return lambda x, sigma: 0 * x + (100 * seed + ids)[:, None]

    def plain(scale=1.0):
        return Model(scale)

    def exact():
        return Exact(2.0)

    def drawn():
        return Drawn(1.0)
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.mark.slow
@each("name", model_names())
def test_make_model__every_name_makes_its_model(name):
    model = make_model(name)
    assert isinstance(model, Denoiser)
    assert model.name == name
    assert name in model.identity
    assert 0 < model.sigma_min < model.sigma_max
    x = torch.zeros(2, *model.event, dtype=model.dtype)
    assert model.bind(torch.arange(2), 0)(x, 1.0).shape == x.shape


def test_an_unknown_name_gets_a_suggestion_and_the_list():
    with pytest.raises(
        ValueError,
        match=r"no model 'fashoin'; did you mean 'fashion'\? "
        r"The models are: gaussian, .*random-unet-64, or",
    ):
        make_model("fashoin")


def test_no_suggestion_where_nothing_is_near():
    with pytest.raises(ValueError, match=r"no model 'qqq'. The models are"):
        make_model("qqq")


def test_an_unknown_parameter_is_named():
    with pytest.raises(
        ValueError, match=r"model gaussian: .*'dimension'; its parameters are: none"
    ):
        make_model("gaussian", dimension=3)


def test_guidance_wraps_and_counts_both_passes():
    model, plain = make_model("digits", guidance=2), make_model("digits")
    assert (model.passes, plain.passes) == (2, 1)
    assert model.identity != plain.identity
    x, labels = torch.ones(2, *model.event), torch.tensor([1, 2])
    free, label = plain.denoise(x, 1.0, None), plain.denoise(x, 1.0, labels)
    torch.testing.assert_close(
        model.denoise(x, 1.0, labels), free + 2 * (label - free), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [({"guidance": "2"}, "guidance is a number, not '2'"), ({"guidance": 2}, "has no classes")],
)
def test_wrong_guidance(params, message):
    with pytest.raises(ValueError, match=message):
        make_model("gaussian", **params)


@pytest.mark.slow
def test_listing_and_importing_need_no_model_code():
    code = """
import sys
from samplerbench.models import model_names
model_names()
print([name for name in sys.modules if ".exact." in name or ".nets." in name or "scipy" in name])
"""
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_a_model_of_one_s_own(write):
    path = write(GOOD)
    model = make_model(f"{path}:plain", scale=2.0)
    assert model.name == "mine.py:plain"
    assert model.event == (3,)
    assert (model.sigma_min, model.sigma_max) == (0.01, 10.0)
    x = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(model.bind(torch.arange(2), 0)(x, 2.0), x / 2)
    torch.testing.assert_close(model.denoise(x, torch.tensor([2.0, 2.0]), None), x / 2)
    assert model.mode_of(-x).tolist() == [0, 0]
    assert torch.equal(model.to("cpu").denoise(x, 2.0, None), model.denoise(x, 2.0, None))


def test_a_denoiser_of_one_s_own(write):
    text = """
        from samplerbench.models import make_model

        def plain():
            return make_model("gaussian")
    """
    model, gaussian = make_model(f"{write(text)}:plain"), make_model("gaussian")
    assert model.name == "mine.py:plain"
    assert gaussian.identity in model.identity
    assert model.identity != make_model(f"{write(text.replace('()', '( )'))}:plain").identity
    x = torch.ones(2, *gaussian.event)
    assert torch.equal(model.denoise(x, 1.0, None), gaussian.denoise(x, 1.0, None))
    assert torch.equal(model.endpoint(x), gaussian.endpoint(x))


def test_its_identity_follows_the_file_and_the_parameters(write):
    first = make_model(f"{write(GOOD)}:plain").identity
    assert make_model(f"{write(GOOD)}:plain").identity == first
    assert make_model(f"{write(GOOD)}:plain", scale=2.0).identity != first
    assert make_model(f"{write(GOOD.replace('10.0', '11.0'))}:plain").identity != first


def test_its_reference_is_exact_or_sampled(write):
    path = write(GOOD)
    exact, sampled = (
        make_model(f"{path}:exact").reference(),
        make_model(f"{path}:plain", scale=2.0).reference(),
    )
    assert exact.n is None
    assert np.array_equal(exact.cov, 4 * np.eye(3))
    assert sampled.n == 50_000
    np.testing.assert_allclose(sampled.cov, 4 * np.eye(3), atol=0.15)
    assert exact.held_out(5).shape == (5, 3)
    assert make_model(f"{write(GOOD.replace('def sample', 'def other'))}:plain").reference() is None


def test_what_it_draws_per_sample_follows_the_rows(write):
    model = make_model(f"{write(GOOD)}:drawn")
    bound, x = model.bind(torch.tensor([5, 6, 7]), 2), torch.zeros(3, 3)
    assert model.classes == 0, "rows of (id, seed) are no classes"
    assert bound(x, 1.0)[:, 0].tolist() == [205, 206, 207]
    assert bound.take(torch.tensor([2, 0]))(x[:2], 1.0)[:, 0].tolist() == [207, 205]
    assert model.bind(torch.tensor([5]), 3)(x[:1], 1.0)[0, 0] == 305
    assert bound(x, 1.0)[:, 0].tolist() == [205, 206, 207]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import nothing_of_that_name",
            r"mine.py raised ModuleNotFoundError when it was " r"imported: No module named",
        ),
        ("raise SystemExit(3)", "mine.py raised SystemExit when it was imported"),
        ("def broken(:", "mine.py raised SyntaxError when it was imported"),
        ("other = 1", "mine.py has no function plain"),
        ("plain = 1", "mine.py has no function plain"),
        ("def plain(): return [][0]", r"plain\(\) raised IndexError: list index out of range"),
        (
            GOOD.replace(
                "event, sigma_min, sigma_max = (3,), 0.01, 10.0", "event, sigma_min = (3,), 0.01"
            ),
            "no attribute sigma_max",
        ),
        (
            GOOD.replace("(3,), 0.01", "3, 0.01"),
            "event is 3; it must be a tuple of positive integers",
        ),
        (
            GOOD.replace("0.01, 10.0", "10.0, 0.01"),
            "sigma_min 10.0 and sigma_max 0.01 must satisfy",
        ),
        (
            GOOD.replace("def __call__", "dtype = 'float32'\n        def call"),
            "dtype is 'float32'; it must be a floating torch dtype",
        ),
        (
            GOOD.replace("def __call__", "dtype = torch.int32\n        def call"),
            "dtype is torch.int32; it must be a floating torch dtype",
        ),
        (GOOD.replace("(3,), 0.01", "(), 0.01"), r"event is \(\); it must be a tuple of positive"),
        (GOOD.replace("0.01, 10.0", "0.01, float('inf')"), "sigma_max inf must satisfy"),
        (
            GOOD.replace("def __call__", "passes = 1.5\n\n        def call"),
            "passes is 1.5; it must be a whole number",
        ),
        (
            GOOD.replace("def __call__", "limits = (1, -1)\n\n        def call"),
            r"limits is \(1, -1\); it must be two numbers, the lower one first",
        ),
        (
            GOOD.replace("def __call__", "limits = 'unit'\n\n        def call"),
            "limits is 'unit'; it must be two numbers",
        ),
        (
            GOOD.replace("def __call__", "limits = (0, float('inf'))\n\n        def call"),
            r"limits is \(0, inf\)",
        ),
        (GOOD.replace("def __call__", "def call"), "returned Model, which is not callable"),
    ],
)
def test_mistakes_in_the_file(write, text, message):
    with pytest.raises(ValueError, match=message):
        make_model(f"{write(text)}:plain")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no.py:plain", "there is no file no.py"),
        ("no.py", "write no.py:FACTORY"),
        ("no.py:", "write no.py"),
    ],
)
def test_mistakes_in_the_spec(spec, message):
    with pytest.raises(ValueError, match=message):
        make_model(spec)


def test_a_parameter_that_the_factory_does_not_take(write):
    with pytest.raises(
        ValueError, match="unexpected keyword argument 'scale'; its parameters are: none"
    ):
        make_model(f"{write(GOOD)}:exact", scale=2.0)


def test_a_wrong_shape_is_named(write):
    model = make_model(f"{write(GOOD.replace('return x *', 'return x[:, :2] *'))}:plain")
    with pytest.raises(
        ValueError, match=r"mine.py:plain: the model gave \(4, 2\) for states \(4, 3\)"
    ):
        model.denoise(torch.zeros(4, 3), 1.0, None)


def test_wrong_samples_and_moments_are_named(write):
    path = write(
        GOOD.replace("torch.randn(n, 3", "torch.randn(n, 2").replace("[0.0] * 3", "[0.0] * 2")
    )
    with pytest.raises(
        ValueError, match=r"sample\(50000, seed\) has shape \(50000, 2\), " r"not \(50000, 3\)"
    ):
        make_model(f"{path}:plain").reference().load_statistics()
    with pytest.raises(ValueError, match=r"moments\(\) gave shapes \(2,\) and \(3, 3\)"):
        make_model(f"{path}:exact").reference().load_statistics()


@pytest.mark.slow
@each("name", [name for name in model_names() if not name.startswith("random")])
def test_make_model__the_range_of_a_shipped_model_is_that_of_its_reference(name):
    model = make_model(name)
    assert model.decoded_limits == model.reference().clamp
    assert make_model(f"perturbed:{name}").limits == model.limits


def test_the_range_that_a_user_states_clamps_what_is_scored(write):
    text = GOOD.replace("def __call__", "limits = [-1, 2.5]\n\n        def __call__")
    model = make_model(f"{write(text)}:exact")
    assert model.limits == model.reference().clamp == (-1.0, 2.5)
    assert make_model(f"{write(GOOD)}:exact").limits is None


@pytest.mark.parametrize("limits", [(-1.0, 1.0), (2, 1)])
def test_a_denoiser_of_one_s_own_states_its_range_too(limits, write):
    text = f"""
        from samplerbench.models import make_model

        def plain():
            model = make_model("gaussian")
            model.limits = {limits}
            return model
    """
    if limits[0] < limits[1]:
        assert make_model(f"{write(text)}:plain").limits == limits
    else:
        with pytest.raises(ValueError, match=r"limits is \(2, 1\)"):
            make_model(f"{write(text)}:plain")


def test_samples_outside_the_range_that_a_user_states_are_refused(write):
    model = make_model(
        f"{write(GOOD.replace('def __call__', 'limits = (0, 1)' + chr(10) * 2 + '        def __call__'))}:plain"
    )
    with pytest.raises(
        ValueError,
        match=r"of the values of sample\(9, seed\) are outside " r"limits \(0\.0, 1\.0\)",
    ):
        model.data(9, 0)


def test_another_device_needs_to(write):
    with pytest.raises(
        ValueError,
        match=r"mine.py:plain cannot move to cuda: it has no "
        r"to\(device\); add one, or use --device cpu",
    ):
        make_model(f"{write(GOOD)}:plain").to("cuda")


def test_another_device_is_the_user_s_own_affair(write):
    text = GOOD.replace(
        "def mode_of", "def to(self, device):\n            return Model(3.0)\n\n        def mode_of"
    )
    model = make_model(f"{write(text)}:plain")
    moved = model.to("cuda")
    assert moved.identity == model.identity
    torch.testing.assert_close(moved.denoise(torch.ones(1, 3), 1.0, None), torch.full((1, 3), 0.9))


LEARNT = """
    import torch
    from samplerbench.models import Denoiser

    class Net(torch.nn.Module):
        event, sigma_min, sigma_max = (3,), 0.01, 10.0

        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(3))

        def forward(self, x, sigma):
            return x * self.scale

        def moments(self):
            return 0 * self.scale, self.scale.diag()

    class Own(Denoiser):
        name, event, identity = "own", (3,), "own"

        def __init__(self):
            self.net = Net()

        def denoise(self, x, sigma, labels):
            return self.net(x, sigma)

    def net():
        return Net()

    def own():
        return Own()
"""


@pytest.mark.parametrize("factory", ["net", "own"])
def test_parameters_that_require_gradients_do_not_reach_the_sampler(write, factory):
    model = make_model(f"{write(LEARNT)}:{factory}")
    x = torch.ones(2, 3)
    for called in (model, model.instrumented(lambda inner: inner)):
        d = called.denoise(x, 1.0, None)
        assert torch.equal(d, x)
        assert not d.requires_grad
    assert torch.is_grad_enabled()


def test_moments_may_require_gradients(write):
    assert np.array_equal(make_model(f"{write(LEARNT)}:net").reference().cov, np.eye(3))


def test_moments_alone_leave_nothing_held_out(write):
    text = GOOD.replace("def sample", "def other")
    assert make_model(f"{write(text)}:exact").reference().held_out(5).shape == (0, 3)
