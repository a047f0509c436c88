"""A long comparison is stopped by its button: nothing runs any more, and the next one starts at once.

Near its end, either the button wins or the result, never both; also if the comparison was started by two clicks.
"""

import sys
import time
from functools import partial

import pytest

from recipes.benchmarks import page_process
from tests.browser.driving import CELLS, open_tab, settle
from tests.helpers.paging import environment, used_in, write_pair
from tests.helpers.vocabularies import MARATHI
from trainer_ext.hub.space import space_folder

pytestmark = pytest.mark.slow

WATCHED_S = 2.0
# Press Stop as soon as this share of the readings is shown, and before that the button that starts, if there are more
# clicks; in the page itself: a test that asks from outside is too slow.
_STOP_LATE = """([share, clicks, cells]) => new Promise((done) => {
    const button = (words) => [...document.querySelectorAll("button")].find((one) => one.innerText.trim() === words);
    const look = () => {
        const bar = document.querySelector("#batch-status progress");
        const ended = document.querySelector(cells) !== null;
        for (; bar && !ended && clicks > 1; clicks -= 1) button("Compare all").click();
        if (!ended && !(bar && bar.value / bar.max >= share)) return;
        clearInterval(timer);
        const stop = button("Stop");
        stop?.click();
        done(stop !== undefined);
    };
    const timer = setInterval(look, 2);
})"""


def test_a_long_batch_stops_and_frees_the_models(chromium, tiny_model, cut, tmp_path):
    run = write_pair(tmp_path / "run", partial(tiny_model, intermediate_size=32768), cut)  # wide: it must take long
    command = [sys.executable, str(space_folder() / "app.py"), str(run)]
    variables = environment(PYTHONPATH=str(space_folder().parent))
    with page_process.started(command, cwd=tmp_path, environment=variables) as (address, process):
        page = chromium.new_context().new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        page.locator("#result .verdict").wait_for()
        settle(page)
        open_tab(page, "batch")
        stop = page.get_by_role("button", name="Stop", exact=True)
        assert not stop.is_visible()
        text = "\n".join(f"{number} {' '.join(MARATHI[:6])}" for number in range(5_000))  # as much as the page takes
        file = {"name": "texts.txt", "mimeType": "text/plain", "buffer": text.encode()}
        page.locator("[role=tabpanel]:visible input[type=file]").set_input_files(file)
        settle(page)
        page.locator("button.primary:visible").click()
        page.wait_for_function("(document.querySelector('#batch-status progress')?.value ?? 0) > 0")
        stop.dispatch_event(
            "click"
        )  # `click` waits until the button has stood still, which takes long beside the models
        page.locator("#batch-status", has_text="Stopped").wait_for()
        settle(page)
        time.sleep(1.0)  # a batch of rows that has begun is finished
        assert used_in(process, seconds=WATCHED_S) < 0.25 * WATCHED_S, "the models must not go on"
        assert not stop.is_visible()
        assert "Stopped" in page.locator("#batch-status").inner_text()
        assert page.locator(CELLS).count() == 0
        page.locator("[role=tabpanel]:visible button[aria-label=Clear]").first.click()
        settle(page)
        page.locator("[role=tabpanel]:visible textarea").first.fill("\n".join(MARATHI[:2]))
        page.locator("button.primary:visible").click()
        page.locator(CELLS).first.wait_for()
        settle(page)
        numbers = page.locator(CELLS).all_inner_texts()
        assert sum(int(number) for number in numbers) == 2
    assert "Traceback" not in (tmp_path / "page.log").read_text()


def test_a_stop_near_the_end_leaves_the_result_or_no_result(chromium, tiny_model, cut, tmp_path):
    run = write_pair(tmp_path / "run", tiny_model, cut)
    command = [sys.executable, str(space_folder() / "app.py"), str(run)]
    variables = environment(PYTHONPATH=str(space_folder().parent))
    text = "\n".join(f"{number} {' '.join(MARATHI[:6])}" for number in range(1_500))
    file = {"name": "texts.txt", "mimeType": "text/plain", "buffer": text.encode()}
    pressed = 0
    with page_process.started(command, cwd=tmp_path, environment=variables) as (address, _):
        page = chromium.new_context().new_page()
        page.set_default_timeout(120_000)
        for clicks, share in ((1, 0.5), (2, 0.5), (1, 0.75), (1, 0.8), (1, 0.85), (2, 0.9)):
            page.goto(address)
            page.locator("#result .verdict").wait_for()
            settle(page)
            open_tab(page, "batch")
            page.locator("[role=tabpanel]:visible input[type=file]").set_input_files(file)
            settle(page)
            page.locator("button.primary:visible").click()
            pressed += page.evaluate(_STOP_LATE, [share, clicks, CELLS])
            page.wait_for_function(
                f"document.querySelector('{CELLS}') !== null"
                " || document.querySelector('#batch-status').innerText.includes('Stopped')"
            )
            time.sleep(1.0)  # what is on its way arrives
            settle(page)
            stopped = "Stopped" in page.locator("#batch-status").inner_text()
            assert stopped != (page.locator(CELLS).count() > 0), f"{clicks} clicks, stopped at {share:.0%}"
    assert pressed, "the button was never there in time"
