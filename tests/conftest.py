"""float64, no silent broadcasting, and a cache of compiled programs for each worker."""

import os
import shutil
from pathlib import Path

import jax
import jaxtyping
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 2)  # so that cells are spread over devices
worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # two would write one file at once
jax.config.update(
    "jax_compilation_cache_dir",
    str(Path(__file__).parents[1] / ".cache" / "jax" / worker),
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture
def untyped(monkeypatch):
    """Calls are met as by whoever has no type checker."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def chromium():
    """A real browser, headless: the system's, or the one that Playwright installed."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason='needs playwright: pip install -e ".[dev]"'
    )
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    args = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium: apt install chromium, or playwright install")
        browser = playwright.chromium.launch(executable_path=found, args=args)
        yield browser
        browser.close()
