"""Make tokenizers as large as MuRIL's and XLM-R's from Marathi text, for machines without a network.

Some tokens are learned from the text by byte pair encoding; random words in other scripts fill the vocabulary. The number
of learned tokens decides how much a smaller vocabulary can lose, because the text uses these often. The same text gives the
same tokenizer.

    lines = read_corpus(["marathi_unlabelled"])
    tokenizer = muril_like(lines)
"""

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertTokenizer, XLMRobertaTokenizer

MURIL_SIZE, XLMR_SIZE = 197_285, 250_002
# Tokens learned from the text: twice an even share of 17 and of 100 languages, because several share a script.
MURIL_OWN, XLMR_OWN = 23_000, 5_000
# First and last letter of scripts that do not occur in Marathi text.
OTHER_SCRIPTS = ("কহ", "ਕਹ", "કહ", "କହ", "கஹ", "కహ", "ಕಹ", "കഹ", "กฮ", "აჰ", "աֆ", "αω", "ая", "את", "بي", "가힣")


def muril_like(lines: Sequence[str], *, own: int = MURIL_OWN, size: int = MURIL_SIZE) -> BertTokenizer:
    """Return a cased WordPiece tokenizer, by default with MuRIL's 197,285 tokens.

    Args:
        lines: Text of one language.
        own: Number of tokens to learn from it.
        size: Number of all tokens.
    """
    pieces = [piece.removeprefix("▁") if piece.startswith("▁") else f"##{piece}" for piece in _learn(lines, own)]
    alphabet = {piece.removeprefix("##") for piece in pieces if len(piece.removeprefix("##")) == 1}
    both = sorted(form for letter in alphabet for form in (letter, f"##{letter}"))
    known = [*("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), *both, *pieces]
    vocabulary = _filled([piece for piece in known if piece not in ("", "##")], size)
    return BertTokenizer(
        vocab={piece: index for index, piece in enumerate(vocabulary)}, do_lower_case=False, strip_accents=False
    )


def xlmr_like(lines: Sequence[str], *, own: int = XLMR_OWN, size: int = XLMR_SIZE) -> XLMRobertaTokenizer:
    """Return a Unigram tokenizer, by default with XLM-R's 250,002 tokens; scores are frequencies in the text.

    Args:
        lines: Text of one language.
        own: Number of tokens to learn from it.
        size: Number of all tokens.
    """
    counts = _learn(lines, own)
    total = sum(counts.values())
    scores = {piece: math.log((count + 0.5) / total) for piece, count in counts.items()}
    least = min(scores.values())
    special = dict.fromkeys(("<s>", "<pad>", "</s>", "<unk>"), 0.0)
    vocabulary = _filled([*special, *scores], size - 1)
    known = special | scores
    return XLMRobertaTokenizer(vocab=[*((piece, known.get(piece, least)) for piece in vocabulary), ("<mask>", 0.0)])


def _learn(lines: Sequence[str], size: int) -> dict[str, int]:
    """Return tokens learned by byte pair encoding, with `▁` for a space before a word, and their frequencies."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    used = Counter(
        token for encoding in tokenizer.encode_batch(lines, add_special_tokens=False) for token in encoding.tokens
    )
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return {piece: used[piece] for piece, _ in by_id}


def _filled(pieces: Sequence[str], size: int) -> list[str]:
    """Return the distinct tokens, followed by random words up to the size."""
    vocabulary = dict.fromkeys(pieces)
    words = _words(random.Random(0))
    while len(vocabulary) < size:
        vocabulary[next(words)] = None
    return list(vocabulary)


def _words(generator: random.Random) -> Iterator[str]:
    while True:
        first, last = generator.choice(OTHER_SCRIPTS)
        yield "".join(chr(generator.randint(ord(first), ord(last))) for _ in range(generator.randint(2, 6)))
