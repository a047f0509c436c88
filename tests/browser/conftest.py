"""Fixtures of the browser tests: one Chromium and one running page; each test opens its own window."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.watching import AXE, watch
from tests.helpers.paging import LABELS, started, write_pair
from trainer_ext.hub.space import space_folder
from trainer_ext.report.io import save
from trainer_ext.report.schema import CompressionReport, Inference, Latency, Model, Pair, Quality, Scores, TrainingCost

REPORT = CompressionReport(
    created="2026-01-01T00:00:00+00:00",
    model=Model(labels=list(LABELS)),
    quality=Quality("test", 50, baseline=Scores(accuracy=0.92), compressed=Scores(accuracy=0.9)),
    latency=[Latency("torch", "fp32", "cpu", "A processor", 2, 1, 32, 36.0, 18.0, speedup=2.0)],
    training=Pair(None, TrainingCost(energy_kwh=0.02)),
    inference=Inference(energy_kwh_per_1000=Pair(6e-4, 4e-4), range_kwh_per_1000=Pair((5e-4, 7e-4), (3e-4, 4.5e-4))),
)
SWEEP = """name,accuracy,accuracy_low,accuracy_high,speedup,megabytes,folder
half,0.9,0.88,0.92,1.7,24.8,run
a quarter,0.86,0.84,0.88,3.1,12.1,
<b>a third</b> & a name that is rather long,0.85,0.83,0.87,2.3,16.0,
"""
NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 120_000  # for a busy machine
NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # so that no other address is reached


@pytest.fixture(scope="package")
def chromium():
    """The Chromium of this machine."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None or not AXE.exists():
        pytest.skip("no Chromium or no axe-core on this machine: make browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[NOWHERE])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def folder(tiny_model, cut, tmp_path_factory):
    """A run: TRAINER_EXT_RUN, or two tiny models with a report and a sweep."""
    if named := os.environ.get("TRAINER_EXT_RUN"):
        return Path(named).resolve()
    run = write_pair(tmp_path_factory.mktemp("page") / "run", tiny_model, cut)
    save(REPORT, run)
    (run.parent / "sweep.csv").write_text(SWEEP)
    return run


@pytest.fixture(scope="package")
def address(chromium, folder, tmp_path_factory):
    """Address of the running page."""
    command = [sys.executable, str(space_folder() / "app.py"), str(folder)]
    with started(command, cwd=tmp_path_factory.mktemp("served"), PYTHONPATH=str(space_folder().parent)) as address:
        yield address


@pytest.fixture
def visit(chromium, address):
    """`visit(width=1200, scheme="light", language="en")`: open the page in a new window, and wait for the first answer.

    At the end of the test, no window may have console errors or requests to other addresses.
    """
    windows = []

    def open_window(width: int = 1200, scheme: str = "light", language: str = "en"):
        window = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = window.new_page()
        page.set_default_timeout(PATIENCE_MS)
        windows.append((window, watch(page, address)))
        page.goto(f"{address}/?lang={language}&__theme={scheme}")
        page.locator("#result .verdict").wait_for()
        return page

    yield open_window
    for window, found in windows:
        window.close()
        assert found == []
