"""The recipe fields about data and task."""

from dataclasses import dataclass, field


@dataclass
class DataArguments:
    """Which texts to train and test on, and the task."""

    data_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder of UTF-8 files: CSV, TSV or JSON (.jsonl), IOB or SQuAD, by the task. Required without texts."
        },
    )
    texts: str | None = field(
        default=None,
        metadata={
            "help": "File of texts without labels, instead of a train file: one text per line (.txt), or the text_column of a "
            "CSV, TSV or JSON file. For a fine-tuned classifier, with prune_method=obs and num_train_epochs=0, or with a "
            "teacher and distill_alpha=1. Every fifth text, 2,000 at most, is held out: there the answers of both models "
            "are compared. If data_dir or test_file is given too, the labelled test files there are used for that instead."
        },
    )
    train_files: list[str] = field(
        default_factory=lambda: ["train.csv"],
        metadata={"help": "Names of train files inside data_dir, tried in order; the first that exists is used."},
    )
    test_file: str = field(
        default="test.csv",
        metadata={"help": "Name of the test file inside data_dir."},
    )
    more_test_files: list[str] = field(
        default_factory=list,
        metadata={"help": "Names of further test files inside data_dir, each reported on its own under its name."},
    )
    task: str = field(
        default="text-classification",
        metadata={
            "help": "The task: text-classification (a table), token-classification (a word and its IOB tag per line: "
            "the first and the last column; a blank line between sentences) or question-answering (SQuAD 1.1 JSON)."
        },
    )
    problem_type: str | None = field(
        default=None,
        metadata={
            "help": "Of text-classification: single_label_classification (the default), multi_label_classification or "
            "regression (labels are numbers)."
        },
    )
    text_column: str = field(
        default="text",
        metadata={"help": "Header of the column that holds the text."},
    )
    text_pair_column: str | None = field(
        default=None,
        metadata={"help": "Header of the column that holds the second text of a pair. Default: one text per row."},
    )
    label_column: str = field(
        default="label",
        metadata={"help": "Header of the column that holds the class name, the class names or the number."},
    )
    label_columns: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Headers of columns of 0 and 1, one per class and called like it, instead of label_column; in "
            "multi_label_classification."
        },
    )
    label_separator: str = field(
        default="|",
        metadata={"help": "What stands between the class names of one cell in multi_label_classification."},
    )
    language: str | None = field(
        default=None,
        metadata={"help": "Language of the texts, such as 'mr'. With 'en', answers are compared without a, an, the."},
    )
    max_length: int = field(
        default=128,
        metadata={
            "help": "Longest input in tokens, special tokens included; the rest is cut off. At least 3. Default: what a model that "
            "is taken as it is reads, 512 at most; 128, or what it reads, for one that is trained here."
        },
    )
    doc_stride: int = field(
        default=64,
        metadata={
            "help": "A context that is longer than max_length is read in pieces that share this many tokens; at least 1 "
            "and at most half of max_length. Default: 64, or that half if it is less. For question-answering."
        },
    )
    max_answer_length: int = field(
        default=30,
        metadata={"help": "Longest answer that is given, in tokens; at least 1. For question-answering."},
    )
    repair_encoding: bool = field(
        default=False,
        metadata={
            "help": "Repair texts that are UTF-8 read in another encoding (`Ã©` for `é`). They are counted in any case. For "
            "text-classification."
        },
    )
    max_train_rows: int | None = field(
        default=None,
        metadata={"help": "Train on at most this many rows, spread over the classes or the file. Default: all."},
    )
    test_share: float | None = field(
        default=None,
        metadata={
            "help": "Share of the train rows, in (0, 0.5], that is split off as the test set, spread over the classes, if there "
            "is one labelled file and no test_file. The same rows each time. Default: none; `compress MODEL DATA` takes 0.2."
        },
    )
    holdout_share: float | None = field(
        default=None,
        metadata={
            "help": "Share of the train rows, in (0, 0.5], that is kept from training, spread over the classes, as a further "
            "test set named holdout: to choose between models by, so that the test file only reports. Default: none."
        },
    )
