"""Damaged text: found in any of the usual code pages, repaired on request, and no alarm about ordinary text."""

from dataclasses import replace

import pytest

from tests.helpers.vocabularies import ALL, MARATHI
from trainer_ext.data.mojibake import CODE_PAGES, repaired
from trainer_ext.errors import InputError
from trainer_ext.tasks.dataset import DataArguments, load_data

ORDINARY = (
    *ALL,
    "Сегодня в городе идёт дождь, и ветер сильный.",
    "Рак, рок и рыба: три слова без связи",
    "рак",
    "À l'école, les élèves ont déjà mangé; ça va, Noël approche…",
    "Größe, Übung und Straße: «schön» kostet 5 €, 20 °C",
    "今天下雨了,比赛改到明天。",
    "한국어 문장과 日本語の文",
    "naïve café — 50 % ½ ² ™ ©",
    "İstanbul'da yağmur yağıyor, çocuklar okulda",
    "Żółć, źdźbło i gęś",
    "Ẹ káàárọ̀, ilé-ìwé ńlá",
    "┌──┐ │ok│ └──┘",
    "Ã",
)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text):
    assert repaired(text) == text


@pytest.mark.parametrize("page", ["latin-1", *CODE_PAGES])
def test_damage_is_undone_where_the_code_page_has_all_bytes(page):
    undone = 0
    for text in (*MARATHI, "Größe und Übung", "Сегодня идёт дождь", "les élèves ont déjà mangé"):
        try:
            damaged = text.encode().decode(page)
        except UnicodeDecodeError:
            continue  # this damage loses bytes
        undone += 1
        assert repaired(damaged) == text
    assert undone or page in ("cp1252", "cp1250")


def write(folder):
    damaged = MARATHI[0].encode().decode("cp866")
    (folder / "train.csv").write_text(f"text,label\n{damaged},a\n{MARATHI[1]},b\nplain,a\n", encoding="utf-8")
    (folder / "test.csv").write_text(f"text,label\n{MARATHI[2]},a\nother,b\n", encoding="utf-8")
    return damaged


def test_damaged_rows_are_counted_and_repaired_on_request(tmp_path):
    damaged, args = write(tmp_path), DataArguments(data_dir=str(tmp_path))
    found = load_data(args)
    assert found.train["text"][0] == damaged
    assert [line for line in found.notes if "damaged" in line] == [
        "train.csv: 1 of 3 texts are damaged (UTF-8 that was read in another encoding); to repair them, give "
        "--repair_encoding."
    ]
    mended = load_data(replace(args, repair_encoding=True))
    assert mended.train["text"][0] == MARATHI[0]
    assert mended.notes[-1].endswith("and were repaired.")


def test_texts_with_positions_are_not_repaired(tmp_path):
    (tmp_path / "train.txt").write_text("rain O\n\n", encoding="utf-8")
    args = DataArguments(
        data_dir=str(tmp_path), task="token-classification", train_files=["train.txt"], test_file="train.txt"
    )
    with pytest.raises(InputError, match="repair_encoding would move the answers"):
        load_data(replace(args, repair_encoding=True))
