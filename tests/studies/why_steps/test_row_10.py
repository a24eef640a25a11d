"""Row 10 on data and models for which its claim is false, or true where it is not of images."""

import numpy as np
import pytest
import torch
from invented import INVENTED

from samplerbench.models.exact.cloud import PointCloud
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench_studies.models.discrete.hamming import BinaryReference, fashion_binary, hamming
from samplerbench_studies.why_steps.measuring import first_schedule
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.packing import packed, unpacked
from samplerbench_studies.why_steps.rows import row_10_first_schedule as row
from samplerbench_studies.why_steps.statistics.intervals import Interval


class Independent:
    """The exact posterior of pixels that know nothing of each other."""

    def __init__(self, ones):
        self.odds = (ones / (1 - ones)).log()

    def __call__(self, x, signal):
        own = ((1 + signal) / (1 - signal)).log()[:, None, None, None]
        return torch.sigmoid(-((2 * x - 1) * self.odds + own))


@pytest.fixture(scope="module")
def independent():
    """Binomial diffusion of 64 independent pixels."""
    rng = np.random.default_rng(0)
    ones = torch.from_numpy(rng.uniform(0.05, 0.95, (1, 8, 8)))
    x = (torch.from_numpy(rng.random((20_000, 1, 8, 8))) < ones).float()
    prototypes = x[:4]
    features = hamming(x, prototypes)
    reference = BinaryReference(
        prototypes, features.mean(0), np.cov(features, rowvar=False), x[-400:]
    )
    return first_schedule.binary_steps(Independent(ones), reference, (1, 10), 400, 400)


def gaussian(d, variance):
    return Gaussian(
        "one",
        torch.zeros(d, dtype=torch.float64),
        torch.eye(d, dtype=torch.float64),
        torch.full((d,), variance),
    )


def test_independent_pixels_need_one_step(independent):
    found = INVENTED[10]()
    assert row.judge(found).kind == "refines"
    assert row.judge(found._replace(binary=independent)).kind == "refutes"
    assert independent.fewer_bits.high < row.NEGLIGIBLE


def test_the_first_rate_collapses_on_points_and_not_on_a_density():
    density = gaussian(16, 0.25)
    points = PointCloud("points", density.sample(180, 0))
    cloud, density = (first_schedule.first_rates(model, 40) for model in (points, density))
    assert cloud.gain.value == pytest.approx(1, abs=1e-3)
    assert cloud.known[0].high < cloud.known[10].low
    assert cloud.unseen[0].low > cloud.unseen[-1].high
    assert density.gain.high < 0
    assert density.best.low > 10 * density.betas[0]
    found = INVENTED[10]()
    kinds = [row.judge(found._replace(first=first)).sentence for first in (cloud, density)]
    assert "would overfit" in kinds[0]
    assert "would not overfit" in kinds[1]


def test_equal_shares_are_supported_where_no_schedule_matters():
    """A Gaussian as wide as the noise where equal shares are densest."""
    effort = Effort("fast", models={"fashion-mppca": gaussian(4, 1.0)})
    cells = (("fashion-mppca", "euler", first_schedule.MIDDLE),)
    quality, flags = first_schedule.qualities(effort, cells, tuple(first_schedule.GRIDS), 96)
    assert len(flags) == len(first_schedule.GRIDS)
    assert quality[0].gap.high < row.NEGLIGIBLE * quality[0].variance
    verdict = row.judge(INVENTED[10]()._replace(quality=quality))
    assert verdict.kind == "supports"
    assert "well for Gaussian noise too" in verdict.sentence
    lost = found_other(-0.02)
    assert row.judge(lost._replace(quality=quality)).kind == "refines"
    assert "does worse than a cosine schedule" in row.judge(lost).sentence


def found_other(bits):
    """A measurement in which a cosine schedule takes so many bits more than equal shares."""
    found = INVENTED[10]()
    other = Interval(bits, bits - 1e-3, bits + 1e-3)
    return found._replace(binary=found.binary._replace(other=other))


def test_shares_are_equal_along_the_oldest_grid():
    sigma = np.array(first_schedule.levels(first_schedule.EARLY, 20))
    assert np.diff(1 / (1 + sigma**2)) == pytest.approx(np.full(20, 0.0498), rel=1e-2)
    assert np.ptp(np.diff(1 / (1 + sigma**2))) < 1e-12
    signal = first_schedule.cosine_signals(4)
    assert signal == pytest.approx([1, 0.8536, 0.5, 0.1464, 0], abs=1e-4)


def test_the_lowest_point_lies_between_the_places():
    place = np.linspace(-3, 1, 9)
    assert first_schedule.lowest(place, (place + 0.8) ** 2) == pytest.approx(np.exp(-0.8))
    assert first_schedule.lowest(place, place) == pytest.approx(np.exp(-3))


@pytest.mark.parametrize(
    ("one", "found"),
    [((0.5, 0.4, 0.6), True), ((0.0, -0.1, 0.05), False), ((0.1, 0.0, 0.2), None)],
)
def test_signs_are_sure_or_open(one, found):
    assert row._sign(Interval(*one), 0.1) is found
    assert row._all(True, found) is found
    assert row._all(False, found) is False


@pytest.mark.parametrize(
    ("gaps", "kind", "words"),
    [
        ([(5, -9, 19)], "inconclusive", "too few"),
        ([(5, 4, 6), (5, -9, 19)], "inconclusive", "too few"),
        ([(5, 4, 6), (7, 6, 8)], "refines", "worse for Gaussian noise"),
        ([(5, 4, 6), (5, -9, 19), (-3, -5, -1)], "refines", "it depends"),
        ([(0, -0.5, 0.5), (-3, -5, -1)], "supports", "for Gaussian noise too"),
    ],
)
def test_every_model_and_sampler_counts(gaps, kind, words):
    """What one model says is not told of all."""
    found = INVENTED[10]()
    one = next(one for one in found.quality if one.steps == first_schedule.MIDDLE)
    quality = [one._replace(gap=Interval(*gap)) for gap in gaps]
    verdict = row.judge(found._replace(quality=quality))
    assert verdict.kind == kind
    assert words in verdict.sentence


def test_the_shipped_data_are_binary_and_a_measurement_survives_the_disk():
    data = fashion_binary()
    assert data.held_out.shape == (512, 1, 28, 28)
    assert set(data.held_out.unique().tolist()) == {0.0, 1.0}
    assert data.features(data.prototypes)[:, :10].diagonal().max() == 0
    found = INVENTED[10]()
    back = unpacked(first_schedule.FirstScheduleResult, packed(found))
    assert row.judge(back) == row.judge(found)
