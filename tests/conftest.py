"""One torch thread, as in workers, commands that run samplers in this process, the same drawn examples every time, and a browser."""

import os
import shutil

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
os.environ.setdefault("SAMPLERBENCH_ISOLATION", "0")  # of commands that tests call here; those about the worker ask for it
settings.register_profile("same", derandomize=True, deadline=None, max_examples=25, database=None)
settings.load_profile("same")


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium through Playwright; tests that ask for it are skipped where either is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pages are not tested in a browser")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no chromium found: pages are not tested in a browser")
    with playwright.sync_playwright() as library:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses one to root
        browser = library.chromium.launch(executable_path=chromium, args=sandbox)
        yield browser
        browser.close()
