"""Scheduler for diffusers: a solver as a table of numbers, read from scheduler_config.json.

``samplerbench export --to diffusers --out FOLDER`` writes it and this file. They need
diffusers alone.
"""

from pathlib import Path

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin, SchedulerOutput
from diffusers.utils.torch_utils import randn_tensor


class TableScheduler(SchedulerMixin, ConfigMixin):
    """Scheduler whose rows have time and weights: of state, outputs (newest first), draws of noise.

    States are inputs of the network. ``levels`` has sigma at each row and at the end.
    """

    order = 1
    __module__ = "table_scheduler"  # so that model_index.json names this file

    @register_to_config
    def __init__(
        self, rows, levels, made_for, prediction_type, init_noise_sigma, num_train_timesteps=1000
    ):
        made = made_for["prediction_type"]
        if prediction_type != made:
            raise ValueError(f"this table needs prediction_type {made!r}, not {prediction_type!r}")
        self.init_noise_sigma, self.outputs, self.draws = init_noise_sigma, [], []
        self.timesteps = torch.tensor([float(row[0]) for row in rows])

    def check(self, scheduler):
        """Return self; raise ValueError if ``scheduler`` is for another kind of model."""
        made, theirs = self.config.made_for, scheduler.config
        found = theirs.get("prediction_type", "flow_prediction"), theirs.get("sigma_data")
        wanted = made["prediction_type"], made["sigma_data"]
        if found != wanted:
            words = "(prediction type, sigma_data)"
            raise ValueError(f"this table needs a model of {words} {wanted}, not {found}")
        if made["times"]:
            sigmas = (1 / scheduler.alphas_cumprod.double().cpu() - 1).sqrt()
            for (time, *_), level in zip(self.config.rows, self.config.levels):
                if abs(int((sigmas / level).log().abs().argmin()) - time) > 1:
                    raise ValueError(f"this table needs noise level {level:g} at time {time:g}")
        return self

    def set_timesteps(self, num_inference_steps=None, device=None, sigmas=None, mu=None):
        """Begin a batch at the table's times; raise ValueError for another number of steps."""
        steps, rows = num_inference_steps or len(sigmas), self.config.rows
        if steps != len(rows):
            raise ValueError(f"this table needs num_inference_steps={len(rows)}, not {steps}")
        self.num_inference_steps, self.outputs, self.draws = len(rows), [], []
        self.timesteps = self.timesteps.to(device)

    def set_begin_index(self, begin_index=0):
        """Raise a ValueError if a pipeline, such as image to image, begins at another level."""
        if begin_index:
            raise ValueError("a table begins at its first level, so image to image has none")

    def scale_model_input(self, sample, timestep=None):
        """Return ``sample`` unchanged."""
        return sample

    def step(self, model_output, timestep, sample, generator=None, return_dict=True, **kwargs):
        """Return the state after the next row, in the dtype of ``sample``."""
        if not self.outputs and abs(float(timestep / self.timesteps[0]) - 1) > 0.01:
            self.set_begin_index(1)  # raises
        _, a, b, c = self.config.rows[len(self.outputs)]
        # half of the channels, if the network also learned a variance
        channels, second = sample.shape[1], self.config.made_for["half"] == "second"
        output = model_output[:, -channels:] if second else model_output[:, :channels]
        self.outputs.insert(0, output.float())
        x = a * sample.float() + sum(w * out for w, out in zip(b, self.outputs))
        while len(self.draws) < len(c):
            self.draws.append(randn_tensor(sample.shape, generator, sample.device, torch.float32))
        x = (x + sum(w * z for w, z in zip(c, self.draws) if w)).to(sample.dtype)
        return SchedulerOutput(prev_sample=x) if return_dict else (x,)

    def save_pretrained(self, save_directory, push_to_hub=False, **kwargs):
        """Save the configuration, and this file next to it."""
        file = Path(save_directory) / "table_scheduler.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
        super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
