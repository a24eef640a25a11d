"""One torch thread, as in workers, and property tests that draw the same examples every time."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("same", derandomize=True, deadline=None, max_examples=25, database=None)
settings.load_profile("same")
