"""Sentences in four scripts, and a tokenizer of each kind trained on them, for the tests of vocabularies."""

import functools
import json
import math

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AlbertTokenizer,
    BertTokenizer,
    CamembertTokenizer,
    DebertaV2Tokenizer,
    DistilBertTokenizer,
    MPNetTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

MARATHI = (
    "आज सकाळी पुण्यात जोरदार पाऊस पडला.",
    "शाळेतील मुले मैदानावर खेळत आहेत.",
    "शेतकऱ्यांनी बाजारात ताजी भाजी विकली.",
    "नदीचे पाणी वाढल्याने पूल बंद झाला.",
    "नवीन चित्रपट पाहायला प्रेक्षकांनी गर्दी केली.",
    "संघाने सामना १२ धावांनी जिंकला!",
    "डॉक्टरांनी रोज चालायला सांगितले आहे.",
    "ग्रंथालयात जुनी पुस्तके वाचायला मिळतात.",
    "मुलांनी शाळेत झाडे लावली, पाणी घातले.",
    "बाजारात पाऊस पडल्याने गर्दी कमी झाली.",
    "नवीन bus सेवा सकाळी ६ वाजता सुरू होते.",
    "पुण्यात नवीन पूल बांधला जात आहे.",
)
OTHERS = (
    "The children planted trees near the old school.",
    "Heavy rain closed the bridge over the river.",
    "Farmers sold fresh vegetables in the market today.",
    "The team won the match by 12 runs!",
    "Η βροχή έκλεισε τη γέφυρα πάνω από το ποτάμι.",
    "Τα παιδιά παίζουν στην αυλή του σχολείου.",
    "Η ομάδα κέρδισε τον αγώνα χθες το βράδυ.",
    "மழை பெய்ததால் பாலம் மூடப்பட்டது.",
    "குழந்தைகள் பள்ளியில் விளையாடுகிறார்கள்.",
)
ALL = MARATHI + OTHERS
BERT = ("[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>")
CAMEMBERT = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>")


def _learned(model, trainer, pre_tokenizer, normalizer=None) -> dict:
    """Return the `model` of the tokenizer.json trained on all sentences."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(ALL * 3, trainer)
    return json.loads(tokenizer.to_str())["model"]


def _wordpiece(special, unknown="[UNK]") -> dict[str, int]:
    splitter = pre_tokenizers.BertPreTokenizer()
    inner = {character for text in ALL for word, _ in splitter.pre_tokenize_str(text) for character in word[1:]}
    # The trainer numbers these pieces as a hash map has them, another way each time, unless they are known.
    known = [*special, *(f"##{character}" for character in sorted(inner))]
    trainer = trainers.WordPieceTrainer(vocab_size=420, special_tokens=known, show_progress=False)
    return _learned(models.WordPiece(unk_token=unknown), trainer, splitter)["vocab"]


def _unigram(special, unknown="<unk>") -> list[tuple[str, float]]:
    trainer = trainers.UnigramTrainer(
        vocab_size=420, special_tokens=list(special), unk_token=unknown, show_progress=False
    )
    words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    learned = [piece for piece, _ in _learned(models.Unigram(), trainer, words)["vocab"]][len(special) :]
    # The same pieces every time, but with sums in another order: counted here, their scores are always the same.
    text = "▁" + "▁".join(ALL).replace(" ", "▁")
    counts = {piece: text.count(piece) for piece in sorted(learned)}
    scores = {piece: math.log(count / sum(counts.values())) for piece, count in counts.items()}
    return [*((token, 0.0) for token in special), *sorted(scores.items(), key=lambda pair: -pair[1])]


def _byte_level(special=()) -> dict:
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _learned(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))


def _roberta():
    learned = _byte_level([*ROBERTA, "<mask>"])
    return RobertaTokenizer(vocab=learned["vocab"], merges=[tuple(pair) for pair in learned["merges"]])


def _modernbert():
    """Return byte-level BPE with special tokens added at the end and a mask token that includes the space before it."""
    backend = _bpe(_byte_level())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return _with_specials(backend, ("[UNK]", "[CLS]", "[SEP]", "[PAD]", AddedToken("[MASK]", lstrip=True)))


def _gemma():
    """Return BPE over characters, with bytes for unknown characters."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    spaces = normalizers.Replace(" ", "▁")
    learned = _learned(models.BPE(), trainer, pre_tokenizers.Split("▁", "merged_with_next"), spaces)
    backend = _bpe(learned | {"byte_fallback": True, "unk_token": "[UNK]", "fuse_unk": True})
    backend.normalizer = spaces
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _with_specials(backend, special[:5])


def _bpe(model: dict) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(json.loads(Tokenizer(models.BPE()).to_str()) | {"model": model}))


def _with_specials(backend, tokens):
    backend.add_special_tokens(list(tokens))
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]", **names)


def _bert(kind=BertTokenizer):
    return lambda: kind(vocab=_wordpiece(BERT), do_lower_case=False, strip_accents=False)


# A tokenizer of every architecture, and one of an architecture without an encoder here: BPE with byte fallback.
MAKE = {
    "albert": lambda: AlbertTokenizer(
        vocab=_unigram(("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")), keep_accents=True, do_lower_case=False
    ),
    "bert": _bert(),
    "camembert": lambda: CamembertTokenizer(vocab=[*_unigram(CAMEMBERT), ("<mask>", 0.0)]),
    "deberta-v2": lambda: DebertaV2Tokenizer(vocab=_unigram(("[PAD]", "[CLS]", "[SEP]", "[UNK]"), "[UNK]"), unk_id=3),
    "distilbert": _bert(DistilBertTokenizer),
    "electra": _bert(),
    "gemma": _gemma,
    "modernbert": _modernbert,
    "mpnet": lambda: MPNetTokenizer(
        vocab=_wordpiece((*ROBERTA[:3], "[UNK]", "<mask>")), do_lower_case=False, strip_accents=False
    ),
    "roberta": _roberta,
    "xlm-roberta": lambda: XLMRobertaTokenizer(vocab=[*_unigram(ROBERTA), ("<mask>", 0.0)]),
}


@functools.cache
def tokenizer_of(kind: str):
    """Return the tokenizer of a kind, a key of `MAKE`. All tests share it and must not change it."""
    return MAKE[kind]()
