"""The picture of the paper's grid: what is drawn, that it can be read on both grounds, and that a stale one is found."""

import itertools
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from recipes.tools import drawing, grid_picture, picture, results, sweep_tables
from tests.helpers.resulting import KEPT, QUARTER, made_up_row, made_up_sweep, run
from trainer_ext.sweep.output import to_json
from trainer_ext.sweep.results import BASELINE

NAME = "paper_grid-shc@small"
ALONE_FP32, ALONE, KD_FP32, KD, SECOND = (method.words for method in grid_picture.METHODS)
CONDITIONS = {"none, fp32": ALONE_FP32, "none, mixed": ALONE, "KD, fp32": KD_FP32, "KD, mixed": KD}


def whole_grid(change=lambda gone, method: -4 * gone):
    """Return a sweep with every model of the picture, by a loss in points for a share and a method."""
    rows = [made_up_row(BASELINE, 0.0, 0.0, 1.0)]
    for gone, (labels, method) in itertools.product((0.0, 0.25, 0.5, 0.75), CONDITIONS.items()):
        if gone and "fp32" in labels:
            continue
        rows.append(made_up_row(f"{100 * gone:.0f} % removed, {labels}", gone, change(gone, method), 1.0))
    for gone in (0.25, 0.5, 0.75):
        name = f"{100 * gone:.0f} % removed by second order, KD, mixed"
        rows.append(made_up_row(name, gone + 0.004, change(gone, SECOND), 1.0))
    return made_up_sweep(*rows)


def drawn_grid(sweep):
    return grid_picture.grid({NAME: sweep})


def kept():
    return sweep_tables.load_all(results.FILES / "sweeps")


def contrast(colour, other):
    """Return the contrast of two colours as WCAG 2 defines it, 1 to 21."""

    def light(hexadecimal):
        parts = [int(hexadecimal[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((light(colour), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_picture_is_what_the_files_give():
    assert grid_picture.stale(kept()) == [], "run `make results`"
    files = drawing.files("grid").values()
    assert all(file.stat().st_size < 100_000 for file in files)


def test_a_model_stands_where_its_weights_say_not_its_label():
    sweep = made_up_sweep(
        made_up_row(BASELINE, 0.0, 0.0, 1.0),
        made_up_row("0 %, none, fp32", 0.0, 0.4, 1.0),
        made_up_row(f"{QUARTER}, KD, fp32", 0.75, -2.0, 1.0),
        made_up_row("half by second order, KD, mixed", 0.502, -0.25, 1.0),
        made_up_row("half, KD, mixed", 0.5, -0.5, 1.0),
    )
    found = drawn_grid(sweep)
    assert [(point.method, point.gone) for point in found.points] == [
        (ALONE_FP32, 0.0),
        (KD_FP32, 0.75),
        (KD, 0.5),
        (SECOND, 0.502),
    ]
    assert [(point.change, point.low, point.high) for point in found.points] == [
        pytest.approx(expected)
        for expected in ((0.4, -0.1, 0.9), (-2, -2.5, -1.5), (-0.5, -1, 0), (-0.25, -0.75, 0.25))
    ]
    assert (found.baseline, found.metric, found.title) == (pytest.approx(70), "accuracy %", "MahaNews headlines")


def test_files_and_other_combinations_are_left_to_the_table():
    quarter = made_up_row(f"{QUARTER}, KD, fp32", 0.25, -0.2, 1.28)
    others = (
        replace(quarter, runtime="openvino", precision="int8"),
        made_up_row("25 % removed by second order, none, mixed", 0.25, -0.2, 1.0),
        made_up_row("25 % removed by second order, KD, fp32", 0.25, -0.2, 1.0),
        replace(quarter, value=None, difference=None, difference_low=None, difference_high=None),
    )
    found = drawn_grid(made_up_sweep(made_up_row(BASELINE, 0.0, 0.0, 1.0), quarter, *others))
    assert [(point.method, point.gone) for point in found.points] == [(KD_FP32, 0.25)]


def test_headlines_come_before_paragraphs_and_the_full_scale_before_the_small_one():
    sweeps = {}
    for name, loss in zip(reversed(grid_picture.ORDER), (1.0, 2.0, 3.0, 4.0), strict=True):
        sweeps[name] = whole_grid(lambda gone, method, loss=loss: -loss)
        found = grid_picture.grid({"another@small": whole_grid(), **sweeps})
        assert all(point.change == pytest.approx(-loss) for point in found.points), name
        assert found.title == grid_picture.ORDER[name]


@pytest.mark.parametrize(
    "sweeps",
    [
        {},
        {"another@small": whole_grid()},
        {NAME: made_up_sweep(made_up_row(BASELINE, 0.0, 0.0, 1.0))},
        {NAME: made_up_sweep(made_up_row(f"{KEPT}, KD, fp32", 0.75, -2.0, 1.0))},
        {NAME: made_up_sweep(*(replace(row, difference=None) for row in whole_grid().rows))},
        {NAME: made_up_sweep(*(replace(row, metric="rmse") for row in whole_grid().rows))},
    ],
    ids=["none", "another", "only a baseline", "no baseline", "no labels", "no fraction"],
)
def test_nothing_is_drawn_where_there_is_nothing(sweeps, copies):
    for file in drawing.files("grid").values():
        file.unlink(missing_ok=True)
    grid_picture.write(sweeps)
    assert grid_picture.stale(sweeps) == []
    assert not any(file.exists() for file in drawing.files("grid").values())


def test_the_note_has_what_it_was_measured_on():
    sweep = made_up_sweep(machine="a made-up processor, threads: 2, load 1.5 before the start; torch 9")
    note = "n = 1,234 clean rows, seed 17, 3 epochs; a made-up processor, threads: 2; 2031-02-03."
    assert drawn_grid(sweep).note == note, "the epochs are those of the recipe at the small scale"
    assert "12 epochs" in drawn_grid(replace(sweep, scale=None)).note
    longer = replace(sweep, command="trainer-ext sweep paper_grid.yaml --scale small --num_train_epochs 7")
    assert "7 epochs" in drawn_grid(longer).note
    assert "epochs" not in drawn_grid(replace(sweep, recipe="gone.yaml")).note


@pytest.mark.parametrize(
    "change",
    [
        lambda gone, method: 0.0,
        lambda gone, method: -0.52,  # the intervals end just below the baseline
        lambda gone, method: -9 * gone,
        lambda gone, method: {ALONE_FP32: -8.0, ALONE: 1.0, KD_FP32: 2.0, KD: -0.4, SECOND: 3.0}[method],
        lambda gone, method: -12.5,
    ],
    ids=["equal", "just below", "steep", "mixed", "far below"],
)
def test_no_two_words_and_no_two_bars_touch(change):
    found = drawn_grid(whole_grid(change))
    with drawing.settings("light"):
        figure = grid_picture.figure(found, "light")
        FigureCanvasAgg(figure).draw()
        (ax,) = figure.axes
        words = [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels(), *ax.get_legend().get_texts()]
        words += [ax._left_title, ax.xaxis.label, ax.yaxis.label, *figure.texts]
        boxes = [(text.get_text(), text.get_window_extent()) for text in words if text.get_text()]
        for (one, box), (other, beside) in itertools.combinations(boxes, 2):
            assert not box.overlaps(beside), f"{one!r} touches {other!r}"
        assert all(figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1) for _, box in boxes)
        bars = sorted(ax.transData.transform(bar)[0][0] for lines in ax.collections for bar in lines.get_segments())
        assert len(bars) == len(found.points)
        widest = figure.dpi / 72 * (7 * 2**0.5 + 1)  # a diamond, with its edge
        assert min(right - left for left, right in itertools.pairwise(bars)) > widest
        zero = ax.transData.transform((0, 0))[1]
        changes = [text.get_window_extent() for text in ax.texts if "baseline" not in text.get_text()]
        assert len(changes) == len(found.points)
        assert not any(box.y0 <= zero <= box.y1 for box in changes), "a number stands on the line of the baseline"


def test_models_of_one_share_stand_side_by_side_around_it():
    points = drawn_grid(whole_grid()).points
    places = grid_picture.abscissas(points)
    for share in grid_picture.SHARES:
        own = sorted(place for place, point in zip(places, points, strict=True) if abs(100 * point.gone - share) < 1)
        assert len(own) == (3 if share else 4)
        assert sum(own) / len(own) == pytest.approx(share, abs=0.2)
        assert min(right - left for left, right in itertools.pairwise(own)) >= grid_picture.APART - 0.5


def test_the_file_says_in_words_what_it_shows():
    found = drawn_grid(whole_grid())
    root = ElementTree.fromstring(grid_picture.draw(found, "light"))
    title, description = root[0], root[1]
    assert root.get("role") == "img"
    assert title.tag.endswith("}title")
    assert title.text.startswith("The paper's grid on MahaNews headlines")
    assert description.tag.endswith("}desc")
    assert description.text.startswith("Change of accuracy in points against the baseline of 70.0 %. ")
    assert f"{KD}, 75 % gone: \N{MINUS SIGN}3.0 [\N{MINUS SIGN}3.5, \N{MINUS SIGN}2.5]." in description.text
    assert f"{ALONE}, 0 % gone: 0.0 [\N{MINUS SIGN}0.5, +0.5]." in description.text
    assert description.text.endswith(found.note)
    shown = "".join(root.itertext())
    for words in (*(method.words for method in grid_picture.METHODS), "70.0 %", "75 %", "n = 1,234 clean rows"):
        assert words in shown.replace(description.text, "")


def test_words_are_escaped():
    found = replace(drawn_grid(whole_grid()), title="A & B <C>")
    assert "A & B <C>" in ElementTree.fromstring(grid_picture.draw(found, "dark"))[0].text


def test_a_method_that_was_not_run_is_not_in_the_legend():
    text = grid_picture.draw(drawn_grid(made_up_sweep()), "dark")
    assert SECOND not in text
    assert KD in text


@pytest.mark.parametrize("theme", drawing.THEMES)
def test_every_colour_can_be_read_on_its_ground(theme):
    ground = drawing.THEMES[theme]
    colours = [ground.ink, *picture.COLOURS[theme].values(), *(one.colours[theme] for one in grid_picture.METHODS)]
    shaded = "#" + "".join(
        f"{round((1 - grid_picture.SHADE) * int(ground.ground[at : at + 2], 16) + grid_picture.SHADE * int(ground.faint[at : at + 2], 16)):02x}"
        for at in (1, 3, 5)
    )
    assert min(contrast(colour, behind) for colour in colours for behind in (ground.ground, shaded)) >= 4.5
    drawn = grid_picture.draw(drawn_grid(whole_grid()), theme)
    for method in grid_picture.METHODS:
        assert method.colours[theme].lower() in drawn


def test_another_number_makes_it_stale_until_it_is_drawn_again(copies):
    path = results.FILES / "sweeps" / f"{NAME}.json"
    path.write_text(to_json(whole_grid()), encoding="utf-8")
    assert run("write").exit_code == 0
    assert run("check").exit_code == 0
    assert grid_picture.stale(kept()) == []
    assert SECOND in drawing.files("grid")["dark"].read_text(encoding="utf-8")
    other = whole_grid(lambda gone, method: -4 * gone - 0.001 * (method == SECOND))
    path.write_text(to_json(other), encoding="utf-8")
    done = run("check")
    assert (done.exit_code, "make results" in done.output) == (1, True)
    assert grid_picture.stale(kept()) == ["grid-light.svg", "grid-dark.svg"]
    assert run("write").exit_code == 0
    assert run("check").exit_code == 0
    drawing.files("grid")["light"].unlink()
    done = run("check")
    assert (done.exit_code, "grid-light.svg" in done.output, "grid-dark.svg" in done.output) == (1, True, False)


def test_without_a_kept_grid_the_page_is_made_all_the_same(copies):
    for path in (results.FILES / "sweeps").glob("paper_grid-*.json"):
        path.unlink()
    assert run("write").exit_code == 0
    assert run("check").exit_code == 0


def test_the_page_shows_both_pictures_for_both_schemes():
    text = results.README.read_text(encoding="utf-8")
    shown = re.findall(r'(?:src|srcset)="\.\./docs/pictures/([\w-]+\.svg)"', text)
    assert shown == ["frontier-dark.svg", "frontier-light.svg", "grid-dark.svg", "grid-light.svg"]
    assert all((drawing.FOLDER / name).is_file() for name in shown)
    question = text[text.index("## What 25 % pruning") : text.index("<!-- question: start -->")]
    assert "grid-light.svg" in question
