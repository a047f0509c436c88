"""README: short, its script opens anywhere, and the files and targets that it names exist. tests/docs runs its blocks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import blocks
from trainer_ext.pipeline.scratch import small_bert, train_tokenizer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = (ROOT / "docs/tour.md").read_text(encoding="utf-8")
PLACES = ("here", "there", "again", "today", "now", "then", "once", "soon")
TEXTS = [f"{word} {place}" for word in ("mango", "iron", "river") for place in PLACES]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")  # no accelerator to copy to
def test_the_tours_script_and_both_ways_to_load_its_result_run_as_they_stand(tmp_path, monkeypatch):
    alone, script, installed, not_installed = [block.text for block in blocks(TOUR) if block.language == "python"]
    monkeypatch.chdir(tmp_path)
    tokenizer = train_tokenizer(TEXTS, vocab_size=200, max_length=16)
    shape = {"hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 64}
    model = small_bert(tokenizer, ["fruit", "metal", "water"], **shape)
    before = model.num_parameters()
    rows = [{**tokenizer(text), "labels": index // len(PLACES)} for index, text in enumerate(TEXTS)]
    names = {"model": model, "train": rows, "test": rows, "tokenizer": tokenizer}
    exec(alone, names | {"texts": TEXTS})
    assert (tmp_path / "small" / "config.json").is_file()
    exec(script, names)
    assert names["trainer"].model.num_parameters() < before
    exec(installed, names)
    answer = names["classify"]("mango here")[0]
    assert answer["label"] in ("fruit", "metal", "water")
    without = (
        f"import sys; sys.modules['trainer_ext'] = None\n{not_installed}\nprint(classify('mango here')[0]['score'])"
    )
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.splitlines()[-1]) == pytest.approx(answer["score"], abs=1e-5)


def test_every_target_and_file_that_it_names_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"`make ([\w-]+)|^make ([\w-]+)", README, re.MULTILINE)
    assert len(targets) >= 4
    assert all(re.search(rf"^{first or second}:", makefile, re.MULTILINE) for first, second in targets)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert len(links) >= 20
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', README)
    assert len(pictures) == 4, "the plot and the page, each light and dark"
    assert [link for link in links + pictures if not (ROOT / link.partition("#")[0]).exists()] == []


def test_it_is_short():
    assert len(README.splitlines()) <= 130
