"""Calibration: exact populations, exact distances, resumable replicates, verdicts that can fail."""

import numpy as np
import pytest
from looping import each
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.metrics import FrechetReference, Moments, estimate, frechet_distance
from samplerbench.benchmarks.metrics.kernel import KERNEL_ESTIMATOR as KERNEL
from samplerbench.benchmarks.metrics.kernel import kid
from samplerbench.benchmarks.scoring.data import FRECHET_ESTIMATOR
from samplerbench.benchmarks.suites.files import load_suite
from samplerbench.results.run_directory.files import read_npz, write_npz
from samplerbench_studies.calibration import Calibration
from samplerbench_studies.calibration.endpoints import (
    calibration_row,
    law_with_equal_rms,
    population_law,
    simulated_law,
    write_endpoints,
)
from samplerbench_studies.calibration.families import FAMILIES, rectified_moments
from samplerbench_studies.calibration.law import FeatureDistortion, Law
from samplerbench_studies.calibration.pairs import LEVELS, MARGIN, SamplerPairs
from samplerbench_studies.calibration.table import write_calibration
from samplerbench_studies.calibration.trials import Case
from samplerbench_studies.calibration.verdict import findings_as_sentences, missed_criteria


def quick(log, **changes):
    small = {
        "families": ("gaussian",),
        "samples": (40, 80),
        "replicates": 12,
        "progress": lambda _: None,
    }
    return Calibration.quick(log, **small | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    log = tmp_path_factory.mktemp("calibration")
    return log, quick(log)()


def moments_of(x):
    mean = x.mean(axis=0)
    c = x - mean
    return mean, c.T @ c / len(x), np.einsum("ni,nj,nk->ijk", c, c, c, optimize=True) / len(x)


@each("family", FAMILIES)
def test_calibration__closed_forms_are_the_moments_of_the_samples(family):
    """Within six standard errors of 200 000 samples.

    Heavy tails have third moments without a variance worth the name.
    """
    population = FAMILIES[family](3)
    x = population.draw(np.random.default_rng(0), 200_000)
    mean, cov, third = moments_of(x)
    law, root = population.law, np.sqrt(len(x))
    np.testing.assert_allclose(mean, law.mean, atol=6 / root * np.sqrt(np.diag(law.cov)).max())
    np.testing.assert_allclose(cov, law.cov, atol=15 / root * np.diag(law.cov).max())
    if family != "t5":
        np.testing.assert_allclose(third, law.third, atol=40 / root * np.diag(law.cov).max() ** 1.5)


def test_rectified_moments_are_those_of_quadrature():
    """Two normals in polar form: the angle by the midpoint rule, the radius exactly.

    They span three correlated directions.
    """
    L = np.array([[1.0, 0.6, -0.28], [0.0, 0.8, 0.96]])
    angle = (np.arange(20_000) + 0.5) * 2 * np.pi / 20_000
    # radius r: E r² = 2, E r³ = 3 √(π/2)
    u = np.maximum(np.stack([np.cos(angle), np.sin(angle)], axis=1) @ L, 0)
    mean = np.full(3, 1 / np.sqrt(2 * np.pi))
    second = 2 * np.einsum("ni,nj->ij", u, u) / len(u)
    third = 3 * np.sqrt(np.pi / 2) * np.einsum("ni,nj,nk->ijk", u, u, u) / len(u)
    cov, central = rectified_moments(L.T @ L)
    np.testing.assert_allclose(cov, second - np.outer(mean, mean), atol=1e-6)
    zero = np.zeros((3, 3, 3))
    np.testing.assert_allclose(Law(mean, cov, central).raw_third(), zero + third, atol=1e-6)


def test_a_map_moves_the_law_as_it_moves_the_samples():
    rng = np.random.default_rng(1)
    x = rng.exponential(size=(50, 3))
    law = Law(*moments_of(x))
    move = FeatureDistortion(law.mean, rng.uniform(0.5, 2, 3), rng.standard_normal(3))
    moved = move.law(law)
    for exact, found in zip((moved.mean, moved.cov, moved.third), moments_of(move(x)), strict=True):
        np.testing.assert_allclose(exact, found, rtol=1e-10, atol=1e-12)


def test_true_kernel_distance_is_that_of_all_pairs():
    """Of two finite populations, diagonal included."""
    rng = np.random.default_rng(2)
    x, y = rng.exponential(size=(40, 3)), rng.standard_normal((30, 3)) + 1

    def mean_kernel(a, b):
        return np.mean((a @ b.T / 3 + 1) ** 3)

    expected = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    assert Law(*moments_of(x)).kid(Law(*moments_of(y))) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("family", ["gaussian", "rectified"])
def test_samplers_are_at_the_distances_that_they_are_said_to_be(family):
    samplers = SamplerPairs.make(family, 4, 60)
    for level, (a, b) in zip(LEVELS, samplers.pairs, strict=True):
        assert a.fd == pytest.approx(level * samplers.floor, rel=1e-9, abs=1e-12)
        assert b.fd - a.fd == pytest.approx(MARGIN * max(a.fd, samplers.floor), rel=1e-8)
    a = samplers.pairs[2][0]
    x = a.move(samplers.population.draw(np.random.default_rng(3), 200_000))
    y = samplers.population.draw(np.random.default_rng(4), 2_000)
    assert frechet_distance(samplers.reference, Moments.of(x)) == pytest.approx(a.fd, rel=0.02)
    found = kid(x[:2_000], y)
    assert abs(found.value - a.kid) < 4 * found.se


def test_the_control_variate_is_the_mean_of_the_true_influence():
    samplers = SamplerPairs.make("rectified", 3, 60)
    a = samplers.pairs[2][0]
    x = a.move(samplers.population.draw(np.random.default_rng(5), 100_000))
    exact = FrechetReference(samplers.reference.mean, samplers.reference.cov)
    half = x[:50_000], x[50_000:]
    noise = [a.first_order(Moments.of(part)) for part in half]
    values = [estimate(exact, part).value - a.fd for part in half]
    np.testing.assert_allclose(values, noise, atol=0.1 * np.abs(noise).max())
    # And of the reference's samples, the other side being exact.
    y = samplers.population.draw(np.random.default_rng(6), 100_000)
    moved = FrechetReference(a.law.mean, a.law.cov)
    noise = [a.first_order_of_reference(Moments.of(part)) for part in (y[:50_000], y[50_000:])]
    values = [estimate(moved, part).value - a.fd for part in (y[:50_000], y[50_000:])]
    np.testing.assert_allclose(values, noise, atol=0.1 * np.abs(noise).max())


def test_one_row_for_each_cell_and_level(run):
    rows = run[1]
    assert sorted((r["metric"], r["n"], r["level"]) for r in rows) == sorted(
        (m, n, k)
        for m in ("fd", "fd_conv", "kid")
        for n in (40, 80)
        for k in LEVELS
        if (m, n) != ("fd_conv", 40)
    )  # 40 samples of 4 features are too few
    assert all(r["replicates"] == 12 for r in rows)
    assert all(r["flagged"] != r["enough"] for r in rows if r["metric"] == "fd")


def test_a_second_run_draws_nothing_and_more_replicates_extend_the_first(run, monkeypatch):
    log, rows = run
    drawn = []
    replicates = Case.replicates
    monkeypatch.setattr(
        Case, "replicates", lambda self, numbers: drawn.append(numbers) or replicates(self, numbers)
    )
    assert quick(log)() == rows
    assert drawn == []
    more = quick(log, replicates=15)()
    assert set(drawn) == {range(12, 15)}
    assert quick(log)() == rows
    assert more != rows


@pytest.mark.parametrize("stamp", ["calibration/0", None])
def test_replicates_of_another_estimator_or_of_none_are_drawn_anew(run, tmp_path, stamp):
    """Numbers that nobody would draw, with an identity that is another, or that is not there."""
    for path in run[0].glob("*.npz"):
        arrays = read_npz(path)
        assert str(arrays.pop("identity")).startswith("calibration/1; ")
        wrong = {name: 7 * values for name, values in arrays.items()}
        write_npz(
            tmp_path / path.name, wrong | ({} if stamp is None else {"identity": np.array(stamp)})
        )
    assert quick(tmp_path)() == run[1]


def test_each_metric_names_its_own_estimator():
    fd, population, kernel = (
        Case(metric, "gaussian", 4, 40).identity for metric in ("fd", "fd_conv", "kid")
    )
    assert FRECHET_ESTIMATOR in fd
    assert f"{FRECHET_ESTIMATOR}; 2000 reference samples" in population
    assert KERNEL in kernel
    assert "levels 0, 1, 10; margin 0.1; floor of 40" in fd
    assert "500 reference samples" in kernel


def test_chunks_and_damage_change_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr("samplerbench_studies.calibration.run.CHUNK", 5)
    (tmp_path / "fd-gaussian-4-40.npz").write_bytes(b"cut short")
    assert quick(tmp_path)() == run[1]


GOOD = {
    "metric": "fd",
    "family": "gaussian",
    "d": 4,
    "n": 60,
    "enough": True,
    "level": 1.0,
    "flagged": False,
    "bias_left": 0.01,
    "coverage": 0.95,
    "se_ratio": 1.0,
    "difference_coverage": 0.95,
    "difference_se_ratio": 1.0,
    "pairing_gain": 9.0,
    "false_rate": 0.05,
    "false_tables": 0.04,
}


@each(
    "bad",
    [
        {"bias_left": -0.16}, {"bias_left": 0.26, "family": "t5"}, {"coverage": 0.91}, {"coverage": 0.99}, {"coverage": 0.91, "level": 0.0},
        {"difference_coverage": 0.91}, {"se_ratio": 1.7}, {"difference_se_ratio": 1.7},
    ],
)  # fmt: skip
def test_calibration__each_criterion_can_be_missed(bad):
    assert missed_criteria(GOOD) == []
    row = GOOD | bad
    assert len(missed_criteria(row)) == 1
    assert any("missed by" in line for line in findings_as_sentences([row]))
    assert missed_criteria(row | {"enough": False}) == []


def test_at_zero_intervals_may_cover_too_often_and_t5_may_keep_more_bias():
    assert missed_criteria(GOOD | {"level": 0.0, "coverage": 1.0}) == []
    assert missed_criteria(GOOD | {"family": "t5", "bias_left": 0.24}) == []


def test_what_is_not_flagged_below_the_region_is_said():
    few = GOOD | {"enough": False, "coverage": 0.5}
    assert any(
        "50.0%; 1 rows of FD there are not flagged" in line for line in findings_as_sentences([few])
    )
    assert any(
        "all rows of FD there are flagged" in line
        for line in findings_as_sentences([few | {"flagged": True}])
    )


def test_tables_begin_with_the_verdicts(run, tmp_path):
    text = write_calibration(run[1], tmp_path).read_text()
    assert text.startswith("# Calibration of the intervals\n\n- FD: ")
    assert len((tmp_path / "calibration.csv").read_text().splitlines()) == 1 + len(run[1])


def test_too_few_replicates_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 10"):
        quick(tmp_path, replicates=9)


@pytest.mark.slow
def test_command(tmp_path):
    result = CliRunner().invoke(
        app,
        [
            "calibrate",
            "--quick",
            "--replicates",
            "10",
            "--out",
            str(tmp_path),
            "--log",
            str(tmp_path / "log"),
        ],
    )
    assert result.exit_code == 0, result.output
    assert "FD: " in result.output
    assert (tmp_path / "calibration.md").is_file()


def test_a_network_s_features_are_a_family_whose_moments_are_those_of_its_pool():
    """In 32 axes of the extractor the law is nearly standard, and third moments are those of
    the pool, not of a formula.
    """
    population = FAMILIES["network"](32)
    law = population.law
    np.testing.assert_allclose(law.cov, np.eye(32), atol=0.15)
    x = population.draw(np.random.default_rng(0), 20_000)
    mean, cov, third = moments_of(x)
    np.testing.assert_allclose(mean, law.mean, atol=6 / np.sqrt(len(x)))
    np.testing.assert_allclose(cov, law.cov, atol=0.2)
    i = np.arange(32)
    np.testing.assert_allclose(third[i, i, i], law.third[i, i, i], atol=0.6)
    assert "-axes32-" in population.source
    assert population.source in Case("fd", "network", 32, 480).identity


@pytest.mark.slow
def test_the_space_of_the_default_suite_is_calibrated_at_its_size(tmp_path):
    """As many features, as many samples, and not flagged there."""
    (entry,) = (entry for entry in load_suite("quick").models if entry.extractor)
    d = int(str(entry.extractor).removeprefix("card:"))
    cells = [
        cell
        for cell in Calibration(tmp_path).cells
        if (cell.family, cell.d, cell.n) == ("network", d, entry.samples)
    ]
    assert [cell.metric for cell in cells] == ["fd", "fd_conv", "kid"]
    assert all(cell.enough for cell in cells)
    rows = Calibration(
        tmp_path,
        families=(),
        more=[("network", d, entry.samples)],
        replicates=20,
        progress=lambda _: None,
    )()
    mine = [row for row in rows if row["metric"] != "kid"]
    assert not any(row["flagged"] for row in mine)
    assert all(row["coverage"] >= 0.8 for row in mine), "20 replicates tell 95 % from 70 %"
    assert all(row["power"] >= 0.5 for row in mine if row["level"] == 10)


def test_calibrated__flips_mislead_a_normal_law_and_not_the_judge():
    """One root mean square, a smaller typical error, 0.3 % of flips: what a referee found."""
    row = calibration_row(law_with_equal_rms(0.003, 0.06), 256, replicates=80)
    assert row["normal_wrong"] > 0.3
    assert row["rmse_wrong"] == row["typical_error_wrong"] == row["flip_fraction_wrong"] == 0.0
    assert row["typical_error_verdicts"] == 1.0
    assert row["difference_coverage"] > 0.85


def test_calibrated__equal_samplers_are_seldom_told_apart():
    row = calibration_row(simulated_law("equal", spread=0.6, correlation=0.9), 64, replicates=80)
    assert row["typical_error_verdicts"] <= 0.1
    assert row["rmse_flagged"] > 0.9


@pytest.mark.slow
def test_population__most_of_the_mean_square_of_gmm_2d_is_flips(tmp_path):
    law = population_law(tmp_path, "ipndm", 20, size=1000)
    squares = np.sort(law.truth.distances[0] ** 2)[::-1]
    assert squares[:10].sum() > 0.5 * squares.sum()
    row = calibration_row(law, 256, replicates=40)
    assert row["rmse_flagged"] > 0.9
    assert row["typical_error_wrong"] == row["rmse_wrong"] == 0.0
    again = population_law(tmp_path, "ipndm", 20, size=1000)
    assert np.array_equal(law.truth.distances, again.truth.distances)


def test_write_endpoints__has_a_line_for_each_row(tmp_path):
    rows = [calibration_row(simulated_law("tails", spread=1.5, correlation=0.9), 32, replicates=10)]
    page = write_endpoints(rows, tmp_path).read_text()
    assert "| tails | 32 |" in page
    assert "Root mean square: flagged or covered in 100.0% to 100.0%" in page
    assert (tmp_path / "endpoints.csv").read_text().count("\n") == 2
