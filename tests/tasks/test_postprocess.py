"""Answers: logits that are right give the true answers back, through tokens, pieces and words that were cut off."""

import numpy as np
import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.encoding import NOT_SCORED, OFFSETS, ROW, WORD_STARTS, encode_questions, encode_words
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.tasks import postprocess

SENTENCE = "अ. रा. पाटील मुंबईत Café उघडतात"
CONTEXT = "आज सकाळी भीमा नदीला मोठा पूर आला. काल रात्री कृष्णा नदीचे पाणी वाढले. उद्या कोयना धरण उघडणार आहे."


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer([SENTENCE, CONTEXT], vocab_size=140, max_length=256)


def test_a_word_is_answered_by_its_first_piece(tokenizer):
    rows = Dataset.from_dict({"text": [SENTENCE], "label": [[1, 2, 2, 0, 1, 0]]})
    encoded = encode_words(rows, tokenizer, DataArguments(max_length=64))
    labels = encoded["labels"][0]
    assert len(labels) == len(encoded["input_ids"][0]) > 8
    assert [label for label in labels if label != NOT_SCORED] == [1, 2, 2, 0, 1, 0]
    assert labels[0] == labels[-1] == NOT_SCORED, "[CLS] and [SEP]"
    logits = np.eye(3)[[max(label, 0) for label in labels]]
    found = postprocess.tags([logits], Dataset.from_dict(encoded), rows, ["O", "B-X", "I-X"], None)
    assert found == [["B-X", "I-X", "I-X", "O", "B-X", "O"]]


def test_a_word_that_was_cut_off_is_outside(tokenizer):
    rows = Dataset.from_dict({"text": [SENTENCE], "label": [[1] * 6]})
    encoded = encode_words(rows, tokenizer, DataArguments(max_length=8))
    assert len(encoded["input_ids"][0]) == 8
    assert encoded[WORD_STARTS][0][-1] == -1
    found = postprocess.tags([np.eye(2)[[1] * 8]], Dataset.from_dict(encoded), rows, ["O", "B-X"], None)[0]
    assert found == ["B-X" if start >= 0 else "O" for start in encoded[WORD_STARTS][0]]


def test_an_answer_has_a_place_and_a_probability(tokenizer):
    """By hand: start and end logits of three tokens in the context, after one outside of it."""
    encoded = Dataset.from_dict({ROW: [0], OFFSETS: [[[-1, -1], [0, 2], [3, 5], [6, 9]]]})
    logits = np.log(np.array([[9.0, 9.0], [2.0, 1.0], [5.0, 3.0], [1.0, 4.0]]))
    (found,) = postprocess.find_answers([logits], encoded, 1, longest=2)
    assert (found.start, found.end) == (3, 9)
    assert found.score == pytest.approx(np.log(20))
    assert found.probability == pytest.approx(5 / 8 * 4 / 8)
    (alone,) = postprocess.find_answers([logits], encoded, 1, longest=1)
    assert (alone.start, alone.end, alone.probability) == (3, 5, pytest.approx(5 / 8 * 3 / 8))
    assert postprocess.find_answers([], encoded.select([]), 1, longest=1)[0].probability == 0.0


@pytest.mark.parametrize("answer", ["भीमा", "काल रात्री", "कृष्णा नदीचे पाणी", "कोयना धरण", "आहे.", "आज"])
@pytest.mark.parametrize("max_length", [256, 40])
def test_a_span_comes_back_from_every_piece_that_holds_it(answer, max_length, tokenizer):
    args = DataArguments(max_length=max_length, doc_stride=16)
    label = [{"start": CONTEXT.index(answer), "text": answer}]
    rows = Dataset.from_dict({"text": ["कोणती नदी ?"], "text_pair": [CONTEXT], "label": [label]})
    encoded = encode_questions(rows, tokenizer, args)
    pieces = len(encoded["input_ids"])
    assert (pieces > 1) is (max_length == 40)
    assert all(len(ids) <= max_length for ids in encoded["input_ids"])
    assert any(start > 0 for start in encoded["start_positions"])
    logits = []
    for piece in range(pieces):
        start, end = encoded["start_positions"][piece], encoded["end_positions"][piece]
        scores = np.zeros((len(encoded["input_ids"][piece]), 2))
        scores[start, 0] = scores[end, 1] = 5
        if start:
            first, last = encoded[OFFSETS][piece][start][0], encoded[OFFSETS][piece][end][1]
            assert CONTEXT[first:last] == answer
        logits.append(scores)
    assert postprocess.spans(logits, Dataset.from_dict(encoded), rows, [], args) == [answer]


def test_a_long_question_is_cut_to_leave_room_for_its_context(tokenizer):
    label = [{"start": 0, "text": "आज"}]
    rows = Dataset.from_dict({"text": [CONTEXT * 3], "text_pair": [CONTEXT], "label": [label]})
    encoded = encode_questions(rows, tokenizer, DataArguments(max_length=16, doc_stride=8))
    covered = {tuple(span) for offsets in encoded[OFFSETS] for span in offsets if span[0] >= 0}
    assert min(covered)[0] == 0
    assert max(end for _, end in covered) == len(CONTEXT)
    assert set(encoded[ROW]) == {0}


def test_the_best_span_is_the_best_of_all_that_may_be():
    rng = np.random.default_rng(0)
    for _ in range(50):
        start, end = rng.normal(size=(2, 9))
        start[rng.integers(9)] = -np.inf
        pairs = {(start[i] + end[j], i, j) for i in range(9) for j in range(i, min(i + 3, 9))}
        assert postprocess.best_span(start, end, longest=3) == max(pairs)


def test_simple_answers():
    logits = [np.array([0.1, 2.0, -1.0]), np.array([-1.0, -0.5, -0.1])]
    assert postprocess.one_class(logits).tolist() == [1, 2]
    assert postprocess.classes(logits).tolist() == [[True, True, False], [False, False, False]]
    assert postprocess.number([np.array([0.5]), np.array([-1.0])]).tolist() == [0.5, -1.0]
