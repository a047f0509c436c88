"""Run teacher: whose tokens the teachers of a run read, where the student's vocabulary was cut."""

from __future__ import annotations

from itertools import starmap

from . import report
from .data import Data
from .errors import InputError
from .teacher_inputs import check_comparable
from .vocabulary import Trimmed


def reads_trimmed(student, options, encodings: report.Pair[Data], trimmed: Trimmed) -> bool:
    """Whether the teacher is the trimmed baseline, which reads the student's tokens.

    Otherwise it goes on reading its own, so that it teaches what trimming changed. But where it is compared token by
    token, both must read the same. That the baseline does if every piece of the train texts stays: cut to these, it gives
    the answers and the inner states that it gave before.

    Args:
        student: the model that learns.
        options: whatever has the `distill_*` fields and `teacher_names`.
        encodings: the data with all tokens and with those that stay.
        trimmed: the vocabulary that stays.

    Raises:
        InputError: tokens are to be compared, and train texts are cut otherwise, or the teacher is another model.
    """
    if not options.teacher_names:
        return False
    try:
        check_comparable(student, options)
    except InputError as error:
        if options.teacher_names != ["self"]:
            raise
        if not _cut_alike(encodings, trimmed):
            raise InputError(
                f"{error} Or ask for so many tokens that no train text is cut into other pieces, as some are with "
                f"{len(trimmed.kept_ids)}."
            ) from error
        return True
    return False


def _cut_alike(encodings: report.Pair[Data], trimmed: Trimmed) -> bool:
    """Whether every train row is the same tokens, under their new ids."""
    before, after = (data.train["input_ids"] for data in (encodings.baseline, encodings.compressed))

    def alike(old: list[int], new: list[int]) -> bool:
        return old == [trimmed.kept_ids[index] for index in new]

    return len(before) == len(after) and all(starmap(alike, zip(before, after, strict=True)))
