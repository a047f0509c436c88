"""Write what makes an export usable without torch and transformers: a script of some twenty lines, `classify.py`.

It reads two of the files beside it (`stock_files.py`): the tokenizer with its truncation and padding, and the names of the
labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..utils.files import write_text
from .source import ExportSource
from .stock_files import write_stock_files

SCRIPT = "classify.py"
ROWS = 32  # texts in a batch

# How the script opens a file and computes logits, by suffix of the file.
_RUNTIMES = {
    ".onnx": {
        "module": "onnxruntime",
        "opened": 'session = onnxruntime.InferenceSession(Path(__file__).with_name("{file}"))\n'
        "names = [part.name for part in session.get_inputs()]",
        "computed": 'session.run(["logits"], {name: columns[name][rows][:, used] for name in names})[0]',
    },
    ".xml": {
        "module": "openvino",
        "opened": 'model = openvino.compile_model(Path(__file__).with_name("{file}"), "CPU"{hint})',
        "computed": "model({part: columns[part.get_any_name()][rows][:, used] for part in model.inputs})[0]",
    },
}


@dataclass(frozen=True)
class _Answer:
    """How the script of one task reads its arguments and prints predictions."""

    does: str
    code: str
    words: str = "TEXT ..."
    wrong: str = "len(sys.argv) < 2"  # whether words are missing
    batch: str = "sys.argv[1:]"
    too_long: str = ""  # what to say of words of which too much would have to be cut
    labels: bool = True
    shape: str = "(len(mask), len(labels))"  # of the logits
    place: str = "rows"  # of a batch in them


_PAIRS = "list(zip(sys.argv[1::2], sys.argv[2::2]))"
_ANSWERS = {
    "single_label_classification": _Answer(
        "The class of each text, and its probability.",
        """odds = np.exp(logits - logits.max(-1, keepdims=True))
for text, row in zip({batch}, odds / odds.sum(-1, keepdims=True)):
    print(text, labels[str(row.argmax())], f"{{row.max():.4f}}", sep="\\t")""",
    ),
    "multi_label_classification": _Answer(
        "The classes of each text whose probability is above one half.",
        """for text, row in zip({batch}, 1 / (1 + np.exp(-logits))):
    print(text, *(f"{{labels[str(i)]}}\\t{{share:.4f}}" for i, share in enumerate(row) if share > 0.5), sep="\\t")""",
    ),
    "regression": _Answer(
        "The number that belongs to each text, or its numbers.",
        """for text, row in zip({batch}, logits):
    print(text, *(f"{{number:.4f}}" for number in row), sep="\\t")""",
        labels=False,
        shape="(len(mask), {numbers})",
    ),
    "token-classification": _Answer(
        "The tag of each word, that of its first piece; of words beyond the longest text there is none.",
        """for text, pieces, rows in zip(sys.argv[1:], encoded, logits):
    first = dict(reversed([*zip(pieces.word_ids, rows)]))
    print(*(f"{{word}}\\t{{labels[str(first[i].argmax())]}}" for i, word in enumerate(text.split()) if i in first), sep="\\n")""",
        batch="[text.split() for text in sys.argv[1:]], is_pretokenized=True",
        shape="(*mask.shape, len(labels))",
        place="np.ix_(rows, used)",
    ),
    "question-answering": _Answer(
        "The answer to a question, a piece of the context; a long context is read as far as the model can.",
        """inside = np.array([part == 1 for part in encoded[0].sequence_ids])
spans = np.tril(np.triu(inside[:, None] & inside), {longest})
sums = np.where(spans, logits[0, :, :1] + logits[0, :, 1], -np.inf)
first, last = np.unravel_index(sums.argmax(), sums.shape)
print(sys.argv[2][encoded[0].offsets[first][0] : encoded[0].offsets[last][1]])""",
        words="QUESTION CONTEXT",
        too_long="The question is too long: it leaves no room for the context.",
        wrong="len(sys.argv) != 3",
        batch="[(sys.argv[1], sys.argv[2])]",
        labels=False,
        shape="(*mask.shape, 2)",
        place="np.ix_(rows, used)",
    ),
}


def script(source: ExportSource, file: Path) -> str:
    """Return the text of a script that predicts with an exported file in the same folder."""
    answer = _ANSWERS[source.task.problem_type or source.task.name]
    words, wrong, batch = answer.words, answer.wrong, answer.batch
    if source.args.text_pair_column:
        words, wrong, batch = "TEXT SECOND_TEXT ...", "len(sys.argv) < 3 or len(sys.argv) % 2 == 0", _PAIRS
    environment = Environment(
        loader=PackageLoader("trainer_ext.export"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    runtime = _RUNTIMES[file.suffix]
    # As in runtimes.open_openvino: without the hint, processors with bf16 units compute fp32 models in bf16.
    hint = "" if file.stem.endswith("int8") else ', {"INFERENCE_PRECISION_HINT": "f32"}'
    return environment.get_template(f"{SCRIPT}.j2").render(
        does=answer.does,
        words=words,
        wrong=wrong,
        batch=batch,
        too_long=answer.too_long,
        labels=answer.labels,
        module=runtime["module"],
        shape=answer.shape.format(numbers=source.model.config.num_labels),
        place=answer.place,
        rows=ROWS,
        opened=runtime["opened"].format(file=file.name, hint=hint),
        computed=runtime["computed"],
        answer=answer.code.format(batch=batch, longest=source.args.max_answer_length - 1),
    )


def write_usage(source: ExportSource, file: Path) -> None:
    """Write the files of a stock model and the script to the folder of an exported file.

    Args:
        source: the exported model.
        file: the exported file, in a folder that exists.
    """
    write_stock_files(source, file.parent)
    write_text(file.with_name(SCRIPT), script(source, file))
