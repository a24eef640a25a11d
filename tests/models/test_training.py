from dataclasses import replace

import pytest
import torch

from samplerbench.models.nets import edm_loss, flow_loss
from samplerbench_studies.training import loop, train, train_extractor


def test_an_epoch_sees_each_image_at_most_once():
    rows = torch.cat([loop.epoch_rows(100, 16, 3, step) for step in range(6)])
    next_epoch = torch.cat([loop.epoch_rows(100, 16, 3, step) for step in range(6, 12)])
    assert len(rows.unique()) == len(next_epoch.unique()) == len(rows) == 96
    assert not torch.equal(rows, next_epoch)


def test_each_seed_and_step_has_noise_of_its_own():
    """Torch's generator takes the lower 32 bits of a number."""
    seeds = (train.RECIPES["digits"], replace(train.RECIPES["digits"], seed=1))
    drawn = {
        torch.randn(1, generator=loop.step_generator(how, step)).item()
        for how in seeds
        for step in range(50)
    }
    assert len(drawn) == 100


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    recipe = replace(train.RECIPES["digits"], steps=4, decay=2, warmup=2)
    whole = train.train(recipe, tmp_path / "whole").state_dict()

    def save_and_stop(path, **content):
        save(path, **content)
        raise InterruptedError

    save = loop.save
    monkeypatch.setattr(loop, "save", save_and_stop)
    with pytest.raises(InterruptedError):
        train.train(recipe, tmp_path / "parts", checkpoint_every=2)
    monkeypatch.undo()
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 2
    resumed = train.train(recipe, tmp_path / "parts").state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_an_untrained_network_has_loss_one():
    """EDM's weights make the network's target have unit variance at every level (Karras et al.
    2022, appendix B.6).
    """
    recipe = train.RECIPES["digits"]
    model = train.build(recipe)
    generator = torch.Generator().manual_seed(0)
    x0 = recipe.sigma_data * torch.randn(400, 1, 8, 8, generator=generator)
    with torch.no_grad():
        loss = edm_loss(
            model,
            x0,
            torch.zeros(400, dtype=torch.int64),
            p_mean=recipe.p_mean,
            p_std=recipe.p_std,
            generator=generator,
        )
    assert loss.item() == pytest.approx(1, abs=0.05)


def test_flow_loss__an_untrained_network_leaves_what_a_linear_velocity_does():
    """For data of variance s², the least mean square of a linear velocity is s² / (t² + (1 - t)² s²)."""
    recipe = train.RECIPES["emoji-flow"]
    model, s = train.build(recipe), recipe.sigma_data
    generator, z = torch.Generator().manual_seed(0), torch.randn(100_000, dtype=torch.float64)
    x0 = s * torch.randn(200, 3, 8, 8, generator=generator)
    with torch.no_grad():
        loss = flow_loss(
            model,
            x0,
            torch.zeros(200, dtype=torch.int64),
            p_mean=recipe.p_mean,
            p_std=recipe.p_std,
            generator=generator,
        )
    t = (recipe.p_mean + recipe.p_std * z).sigmoid()
    expected = (s**2 / (t**2 + (1 - t) ** 2 * s**2)).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=0.03)


def test_learning_rates_end_at_zero():
    extractor = train_extractor.Recipe()
    for module, recipe in ((loop, train.RECIPES["fashion"]), (train_extractor, extractor)):
        rates = [module.learning_rate(recipe, step) for step in range(recipe.steps)]
        assert max(rates) <= recipe.lr
        assert 0 < rates[0] < 0.01 * recipe.lr
        assert 0 < rates[-1] < 0.01 * recipe.lr


def test_shifted_images_are_the_images_shifted():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(50, 1, 6, 6, generator=generator)
    moved = train_extractor.shifted(x, 1, generator)
    padded = torch.nn.functional.pad(x, (1,) * 4, value=-1.0)
    candidates = torch.stack(
        [padded[..., i : i + 6, j : j + 6] for i in range(3) for j in range(3)]
    )
    found = (candidates == moved).flatten(2).all(dim=2)
    assert found.any(dim=0).all()
    assert found.any(dim=1).all()
    assert torch.equal(train_extractor.shifted(x, 0, generator), x)


def test_appearance_is_mean_and_contrast_of_each_patch():
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    patches = x.reshape(3, 7, 4, 7, 4).permute(0, 1, 3, 2, 4).reshape(3, 49, 16)
    expected = torch.cat([patches.mean(dim=2), patches.std(dim=2, correction=0)], dim=1)
    torch.testing.assert_close(train_extractor.appearance(x), expected)
