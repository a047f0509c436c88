"""What visitors see after typing, uploading and clicking; texts are never run as scripts."""

import pytest

from tests.browser.driving import ACTS, CELLS, CSV, TEXT, open_tab, press_main_button, settle

pytestmark = pytest.mark.slow


def test_a_script_in_a_text_is_shown_as_text(visit):
    page = visit()
    page.evaluate("() => { window.alert = () => console.error('a text was run'); }")
    ACTS["text"](page)
    assert page.locator("#result .verdict strong").count() >= 1
    assert page.locator("#influence").inner_text().count("<script>") >= 1
    open_tab(page, "batch")
    ACTS["batch"](page)
    shown = page.locator("#batch-chosen, #batch-differences").all_inner_texts()
    assert any(TEXT in text for text in shown)


def test_no_text_is_refused_and_what_was_typed_stays(visit):
    page = visit()
    box = page.locator("textarea:visible").first
    box.fill("   ")
    press_main_button(page, "#result")
    assert "There is no text to classify" in page.locator("#result .refused").inner_text()
    box.fill("क" * 10_001)
    press_main_button(page, "#result")
    assert "at most 10,000" in page.locator("#result .refused").inner_text()
    assert box.input_value() == "क" * 10_001


def test_a_file_that_is_no_table_is_refused_and_the_last_result_stays(visit):
    page = visit()
    open_tab(page, "batch")
    ACTS["batch"](page)
    before = page.locator("#batch-matrix").inner_text()
    file = {"name": "picture.csv", "mimeType": "text/csv", "buffer": b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe" * 50}
    page.locator("[role=tabpanel]:visible button[aria-label=Clear]").first.click()
    page.locator("[role=tabpanel]:visible input[type=file]").set_input_files(file)
    page.locator("#batch-status .refused").wait_for()
    settle(page)
    assert page.locator("#batch-matrix").inner_text() == before


def test_all_texts_are_counted_and_can_be_downloaded(visit):
    page = visit()
    open_tab(page, "batch")
    ACTS["batch"](page)
    numbers = page.locator(CELLS).all_inner_texts()
    assert sum(int(number or 0) for number in numbers) == CSV.count("\n") - 1
    with page.expect_download() as download:
        page.locator(
            "[role=tabpanel]:visible a[download], [role=tabpanel]:visible button:has-text('CSV')"
        ).last.click()
    assert download.value.path().read_text(encoding="utf-8-sig").count(TEXT) == CSV.count("\n") - 1
