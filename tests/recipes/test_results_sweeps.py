"""Tables of sweeps, the section on 25 % pruning, and the table of recipes by scale."""

from dataclasses import replace

import pytest

from recipes.tools import open_question, results, sweep_tables
from tests.helpers.resulting import KEPT, QUARTER, made_up_row, made_up_sweep, run
from trainer_ext import InputError
from trainer_ext.sweep.output import to_json


def cells(text, start):
    """Return the cells of the first table row with this start."""
    return next(line.split(" | ") for line in text.splitlines() if line.startswith(f"| {start}"))


def write(folder, name, result):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(to_json(result), encoding="utf-8")


def test_a_sweep_is_added_by_group_and_scale_and_a_changed_number_is_noticed(copies, tmp_path):
    out = tmp_path / "out"
    for group in ("SHC", "LPC"):
        write(out / group, "sweep", made_up_sweep())
    before = {path.name for path in (results.FILES / "sweeps").iterdir()}
    assert run("add-sweep", out, "made_up").exit_code == 0
    names = {path.name for path in (results.FILES / "sweeps").iterdir()}
    assert names - before == {"made_up-SHC@small.json", "made_up-LPC@small.json"}
    page = results.FILES / "README.md"
    text = page.read_text(encoding="utf-8")
    assert "### made_up-SHC" in text
    assert run("check").exit_code == 0
    for number in ("77.7", "1,234", "1.28x", "321"):
        page.write_text(text.replace(number, "9" + number), encoding="utf-8")
        assert run("check").exit_code == 1, number
    assert run("write").exit_code == 0
    assert page.read_text(encoding="utf-8") == text


def test_a_folder_without_a_sweep_is_refused(copies, tmp_path):
    done = run("add-sweep", tmp_path, "none")
    assert done.exit_code == 2
    assert "sweep.json" in done.output


def test_a_table_has_what_was_measured_and_says_what_was_not_run():
    text = sweep_tables.tables({"grid-SHC@small": made_up_sweep()})
    quarter = cells(text, f"{QUARTER}, KD, fp32")
    assert quarter[1] == "2.56x at baseline accuracy"
    assert quarter[2] == "69.8 [67.8, 71.8], -0.2 [-0.7, +0.3], noise"
    assert quarter[3:7] == ["25.0 %", "4.0", "0.96x (1.33x)", "1.28x (1.33x)"]
    assert quarter[-1].startswith("not run")
    assert cells(text, f"{KEPT}, KD, fp32")[1] == "2.56x at baseline accuracy", "the other reading of the paper"
    assert cells(text, f"{QUARTER}, none, fp32")[1] == "not published"
    assert cells(text, f"{QUARTER}, KD, mixed")[1] == "2.56x at baseline accuracy", "its precision is not said"
    costs = text[text.index("training, s") :]
    assert cells(costs, f"{QUARTER}, KD, fp32")[1:] == [
        *("small", "77.7", "12.5", "12.5", "321", "0.00123", "0.877", "4.56e-05"),
        *("0.0325", "17 |"),
    ]
    for words in ("n = 1,234 (clean)", "a made-up processor", "2031-02-03", "`trainer-ext sweep paper_grid.yaml"):
        assert words in text


def test_both_scales_of_a_sweep_share_a_table_and_failures_are_told():
    full = made_up_sweep(scale=None, failed={"that one": "out of memory"}, notes=["nothing ran side by side"])
    text = sweep_tables.tables({"grid@small": made_up_sweep(), "grid@full": full})
    assert text.count("### grid") == 1
    assert "not run" not in text
    assert "Failed: that one (out of memory)." in text
    assert "nothing ran side by side." in text


def test_the_open_question_has_both_readings_every_runtime_and_batch_size():
    text = open_question.section({"grid": made_up_sweep()})
    rows = [line for line in text.splitlines() if line.startswith("| grid")]
    assert [row.split(" | ")[1:3] for row in rows] == [
        ["25 % removed", "torch fp32"],
        ["25 % removed", "onnxruntime int8"],
        ["25 % kept", "torch fp32"],
        ["nothing removed", "openvino int8"],
    ]
    assert rows[0].endswith("| -0.2 [-0.7, +0.3], noise | 0.96x | 1.28x | 1.33x |")
    assert rows[2].endswith("| -4.0 [-4.5, -3.5] | 2.33x | 3.10x | 4.00x |")
    for published in ("1.21x to 1.23x", "2.44x to 2.60x", "2.56x", "32 %"):
        assert published in text


def test_the_words_of_the_open_question_follow_the_numbers():
    text = open_question.section({"grid": made_up_sweep()})
    assert "(control): accuracy +0.4 [-0.1, +0.9], noise, on 1,234 clean rows" in text
    alone = next(line for line in text.splitlines() if "pruning without int8" in line)
    assert f"reaches 2.56x: at most 3.10x ({KEPT}, KD, fp32; accuracy -4.0 [-4.5, -3.5]" in alone
    assert "a loss beyond noise)." in alone
    met = next(line for line in text.splitlines() if "without a loss beyond noise:" in line)
    assert met.endswith("noise: 2 of 7 models and files, the fastest 2.90x (baseline, openvino int8).")
    assert KEPT not in met
    slow = open_question.section({"grid": made_up_sweep(made_up_row(f"{QUARTER}, KD, fp32", 0.25, 0.0, 1.3))})
    assert "noise: no model of this sweep." in slow
    assert "pruning without int8 does not reach 2.56x: at most 1.30x" in slow
    fast = open_question.section({"grid": made_up_sweep(made_up_row(f"{QUARTER}, KD, fp32", 0.25, 0.0, 2.6))})
    assert "pruning without int8 reaches 2.56x" in fast
    assert "noise: 1 of 1 models and files, the fastest 2.60x" in fast


def test_a_sweep_about_something_else_does_not_answer_the_question():
    other = made_up_sweep(made_up_row("40 % removed, KD, fp32", 0.4, 0.0, 1.6))
    assert "Ours is not run" in open_question.section({"grid": other})


def test_second_order_is_not_taken_for_the_papers_pruning_but_may_be_the_fastest():
    second = made_up_row("25 % removed by second order, KD, fp32", 0.25, 0.3, 2.6)
    sweep = made_up_sweep(*made_up_sweep().rows, second)
    text = open_question.section({"grid": sweep})
    readings = [line for line in text.splitlines() if line.startswith("| grid | 25 % removed | torch")]
    assert len(readings) == 1
    assert "1.28x" in readings[0]
    assert "pruning without int8 reaches 2.56x: at most 3.10x" in text
    assert "3 of 8 models and files" in text
    only = made_up_sweep(
        replace(second, speedup={"32 x 64": 9.0}), made_up_row(f"{QUARTER}, KD, fp32", 0.25, -0.2, 1.3)
    )
    assert "the fastest 9.00x (25 % removed by second order, KD, fp32)" in open_question.section({"grid": only})
    assert "pruning without int8 does not reach 2.56x: at most 1.30x" in open_question.section({"grid": only})
    table = sweep_tables.tables({"grid@small": sweep})
    assert cells(table, "25 % removed by second order, KD, fp32")[1] == "–", "the paper has no second order"
    assert cells(table, f"{QUARTER}, KD, fp32")[1] == "2.56x at baseline accuracy"


def test_every_recipe_has_a_row_with_both_scales():
    text = results.parts()["scales"]
    for path in results.recipe_files():
        assert len(cells(text, f"`{path.stem}`")) == 3
    swept = results.scales([results.HERE / "paper_grid.yaml"], {}, {}, {"grid@small": made_up_sweep()})
    assert cells(swept, "`paper_grid`")[1:] == ["6 models in 1 sweep", "not run |"]


def test_a_run_of_the_full_scale_has_its_own_place(copies, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "compression.json").write_bytes((results.FILES / "mahasent.json").read_bytes())
    assert run("add", folder, "mahasent", "--full").exit_code == 0
    assert "not run" not in " ".join(cells(results.README.read_text(encoding="utf-8"), "`mahasent` | accuracy"))
    assert "`full/mahasent`" in (results.FILES / "README.md").read_text(encoding="utf-8")


def test_a_kept_file_that_is_no_sweep_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="is not the result of a sweep"):
        sweep_tables.load_all(tmp_path)
