"""Helpers for tests of model cards: reports, and running the code blocks of a card as its reader would."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import trainer_ext
from trainer_ext import report

NASTY = (
    "a | b `code` <script>alert(1)</script>",
    "two\nlines\r\n## heading",
    "क्रीडा: \"उद्धरण\" आणि 'इतर'",
    "[click](http://example.org) ![x](y) <!-- /trainer-ext:results -->",
    "*bold* _em_ ~~gone~~ $x$ \\ ``` #tag: yes",
    "- no: {a}, [b] & 100 %",
    "1. one\n- two\n# three",
)


@dataclass(frozen=True)
class Block:
    """A fenced code block of a card: its language, its text and its section."""

    language: str
    text: str
    section: str


def code_blocks(card: str) -> list[Block]:
    """Return the Python and shell code blocks of a card in order."""
    found = re.finditer(
        r"^<!-- trainer-ext:(?P<section>\S+) |^```(?P<language>python|sh)\n(?P<text>.*?)^```$", card, re.M | re.S
    )
    blocks, section = [], ""
    for one in found:
        section = one["section"] or section
        if one["language"]:
            blocks.append(Block(one["language"], one["text"], section))
    return blocks


def run_block(block: Block, folder: Path, **environment: str) -> str:
    """Run a code block in a folder, without the package unless the block imports it.

    Args:
        block: The code block.
        folder: The working folder.
        **environment: Additional environment variables.

    Returns:
        Its standard output.

    Raises:
        AssertionError: It failed; the message has its standard error.
    """
    folder.joinpath(".no-package").mkdir(exist_ok=True)
    stand_in = folder / ".no-package/trainer_ext.py"  # found first, so that importing the package fails
    stand_in.write_text("raise ImportError('trainer_ext is not installed here')\n", encoding="utf-8")
    ours = Path(trainer_ext.__file__).parents[1]
    packages = ours if "import trainer_ext" in block.text else stand_in.parent
    variables = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(packages), **environment}
    python = Path(sys.executable)
    commands = {
        "python": [sys.executable, "-c", block.text],
        "sh": ["sh", "-ec", block.text],
    }
    variables["PATH"] = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        commands[block.language],
        capture_output=True,
        text=True,
        env={**os.environ, **variables, "HF_MODULES_CACHE": str(folder / ".modules")},
        cwd=folder,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stderr}"
    return done.stdout


def run_blocks(card: str, folder: Path, repo: Path) -> dict[str, list[str]]:
    """Run every code block of the card of `user/name`; instead of a download, the files are copied.

    Args:
        card: The card.
        folder: An empty folder.
        repo: The files that would be published.

    Returns:
        The outputs of the blocks by section.
    """
    shutil.copytree(repo, folder / "user/name")
    written = {}
    for block in code_blocks(card):
        if "snapshot_download" in block.text:
            compile(block.text, "card", "exec")
            shutil.copytree(repo, folder / "name", dirs_exist_ok=True)
        else:
            written.setdefault(block.section, []).append(run_block(block, folder))
    return written


def full_report(**changes) -> report.CompressionReport:
    """Return a report with every field, with special characters in every name from outside."""
    before = report.Scores(0.968, 0.951, {"loss | x": 1.25}, {"accuracy": (0.949, 0.98)})
    after = report.Scores(0.962, 0.951, {"loss | x": 1.5}, {"accuracy": (0.941, 0.976)})
    classes = [
        report.ClassPair(
            name, 30 + 20 * index, report.ClassScores(0.9, 0.9, 0.9), report.ClassScores(0.8, 0.8, 0.7 + index / 50)
        )
        for index, name in enumerate(NASTY)
    ]
    quality = report.Quality(
        NASTY[0], 2500, before, after, report.Difference(-0.006, (-0.015, 0.004)), 0.978, 17, 2, 30, 0.453, classes
    )
    kwh = report.Pair(0.000282, 0.000156)
    values = {
        "created": "2026-01-01T00:00:00+00:00",
        "model": report.Model(
            NASTY[3], "compressed", "bert", "text-classification", "single_label_classification", list(NASTY)
        ),
        "recipe": {
            "distill_teacher": NASTY[0],
            "prune_layers": 2,
            "max_length": 128,
            "data_dir": NASTY[1],
            "text_column": "```\n# not a heading\n<!-- trainer-ext:results 0123456789abcdef -->\n",
        },
        "command": "trainer-ext compress 'a ``` b'\n```\n<!-- trainer-ext:results 0123456789abcdef -->",
        "versions": {"python": "3.12", "transformers": "5.23.0"},
        "seed": 7,
        "data": report.Data(4800, {"train: duplicate": 3, NASTY[4]: 2}),
        "sparsity": report.Sparsity(0.5, 0.502, "movement", "compact", [[0, 2], []], [539, 0], 2, 6000),
        "vocabulary": report.Vocabulary(report.Pair(9000, 6000), 100, 10, 0.05, report.Pair(0.0, 0.001), report.Pair(1.2, 1.3)),
        "parameters": report.Pair(report.Parameters(200, 100, 80, 20), report.Parameters(150, 50, 80, 20)),
        "bytes": report.Pair(950_240_000, 470_240_000),
        "quality": quality,
        "other_quality": [report.Quality(NASTY[1], 300, report.Scores(0.9), report.Scores(0.91))],
        "latency": [report.Latency("torch", "fp32", "cpu", NASTY[0], 2, 16, 128, 120.0, 50.0, 130.0, 60.0, 2.4, 2.5, 30)],
        "equivalence": report.Equivalence(3e-6, 0.0, 1e-6, 64),
        "training": report.Pair(report.TrainingCost(100.0, 0.01, 7.1), report.TrainingCost(400.0, 0.0156, 11.1)),
        "inference": report.Inference(
            kwh, report.Pair(0.201, 0.111), 713.4, "IND", 1_234_567.0, True,
            report.Pair((0.00026, 0.0003), (0.00013, 0.00017)), NASTY[5], 1, 32, 60.0,
        ),
        "exports": [
            report.Export("onnx", "compressed/onnx/model.onnx", 1_000_000, 1e-6, rows=64),
            report.Export(
                "onnx-int8", "compressed/onnx/model_int8.onnx", 300_000, None, "test", 2500, after, quality.difference, agreement=0.99
            ),
            report.Export("openvino-int8", "baseline/openvino/openvino_model_int8.xml", 300_000),
        ],
    }  # fmt: skip
    return report.CompressionReport(**{**values, **changes})


def bare_report() -> report.CompressionReport:
    """Return a report with the required fields only."""
    return report.CompressionReport("2026-01-01T00:00:00+00:00", report.Model())
