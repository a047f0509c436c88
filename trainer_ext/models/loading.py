"""Loading: load a model with its head, or a tokenizer, from a folder or the Hub, and raise one readable error if it fails.

What its config says is checked here, its weights in `stored_weights`. What a model can read is asked here too: how many
tokens of a text, and whether it has a row for each token.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from ..errors import InputError, one_line
from ..utils.files import write_json
from .architectures import stock_type
from .stored_weights import check_files, check_loaded, dtypes_of

logger = logging.getLogger(__name__)

# Endings of the class names of transformers: AutoModelForTokenClassification, BertForTokenClassification.
HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "vocab_size",
)  # config fields that must be positive
# Architectures that count positions from the id of the padding token: that in their config (None), or always this one.
POSITIONS_BEHIND_PADDING = {"camembert": None, "mpnet": 1, "roberta": None, "xlm-roberta": None}
LONGEST = 512  # tokens of a text, where neither the model nor its tokenizer has a limit
# What a config may say of the outputs is for the code of its author; ours reads them by name.
_OUTPUTS = {"return_dict": True, "output_hidden_states": False, "output_attentions": False}
_RARE_CHARACTER = "\U00012000"  # cuneiform


def auto_class(head: str):
    """Return the Auto class of transformers for a head, one of `HEADS`."""
    import transformers

    return getattr(transformers, f"AutoModel{head}")


def head_of(config) -> str | None:
    """Return the head that a model was saved with, one of `HEADS`, or None."""
    named = [head for name in config.architectures or () for head in HEADS if name.endswith(head)]
    return named[0] if named else None


def new_head(model) -> list[str]:
    """Return the names of the head's parameters if `from_pretrained` had to initialise them, else an empty list.

    Only what is certain counts: parts that were loaded beside parts that were not, whose biases are all zero still. A head
    that was trained since has others.

    Args:
        model: a model before it is compressed.
    """
    inner = f"{getattr(model, 'base_model_prefix', '')}."
    # transformers marks the parameters that it loads, for itself; there is no public way to ask.
    marked = {name: getattr(p, "_is_hf_initialized", False) for name, p in model.named_parameters()}
    head = [name for name, loaded in marked.items() if not loaded and not name.startswith(inner)]
    biases = [model.get_parameter(name) for name in head if name.endswith("bias")]
    fresh = any(marked.values()) and biases and not any(bias.any() for bias in biases)
    return head if fresh else []


def load_config(name: str | Path, *, option: str, way_out: str):
    """Return the configuration of a model, checked; its weights are not read.

    Args:
        name: a folder or a Hub id.
        option: the option that the user gave it with, for the error message.
        way_out: what the user can do instead, for the error message.

    Raises:
        InputError: If it cannot be read, or cannot be that of a classifier.
    """
    _folder_of(name, option, way_out)
    try:
        return _config_of(name)
    except Exception as error:
        raise _cannot_open(name, error, option, way_out) from error


def load_model(
    name: str | Path, *, option: str, way_out: str, head: str | None = None, fresh: bool = False, **kwargs: Any
):
    """Load a model that classifies texts or tokens, or that finds where an answer starts and ends.

    Args:
        name: a folder or a Hub id.
        option: the option that the user gave it with, for the error message.
        way_out: what the user can do instead, for the error message.
        head: one of `HEADS`, or "" for none. Defaults to the one that the model was saved with, or else the first.
        fresh: whether the head gets new weights, also if there are stored ones, of any shape.
        **kwargs: passed to `from_pretrained`.

    Raises:
        InputError: If the model cannot be loaded, for any reason, or its weights are damaged.
    """
    from transformers.utils import cached_file

    folder = _folder_of(name, option, way_out)
    try:
        if folder:
            check_files(folder)
        kwargs = {"trust_remote_code": False, **kwargs}  # with None, transformers would ask at the terminal
        saved = head_of(_config_of(name, trust_remote_code=kwargs["trust_remote_code"]))
        head = saved or HEADS[0] if head is None else head
        model, info = auto_class(head).from_pretrained(
            name, weights_only=True, ignore_mismatched_sizes=True, output_loading_info=True, **_OUTPUTS, **kwargs
        )
        folder = folder or Path(str(cached_file(name, "config.json"))).parent
        save_under_own_names(model)
        # transformers has made what it did not find. ModernBERT has a part of its head before it is fine-tuned: that stays.
        if fresh and (saved or all(_in_encoder(key, model) for key in info["missing_keys"])):
            info = {**info, "mismatched_keys": [one for one in info["mismatched_keys"] if _in_encoder(one[0], model)]}
            _renew_head(model)
        check_loaded(model, info, dtypes_of(folder), with_head=saved == head and not fresh)
        return model
    except Exception as error:  # damaged files make a dozen libraries fail in any way
        raise _cannot_open(name, error, option, way_out) from error


def _folder_of(name: str | Path, option: str, way_out: str) -> Path | None:
    """Return the folder of a model, or None for a Hub id; refuse a name that is neither."""
    text = str(name)
    folder = Path(text).expanduser() if Path(text).expanduser().is_dir() else None
    if folder is None and (text.startswith((".", "/", "~")) or text.count("/") > 1):
        raise InputError(f"{option} {text}: there is no such folder; {way_out}.")
    return folder


def _config_of(name: str | Path, *, trust_remote_code: bool = False):
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    _check_config(config)
    return config


def _cannot_open(name: str | Path, error: Exception, option: str, way_out: str) -> InputError:
    return InputError(f"{option} {name} cannot be opened ({_reason(error)}); {way_out}.")


def _in_encoder(parameter: str, model) -> bool:
    return parameter.startswith(f"{model.base_model_prefix}.")


def _renew_head(model) -> None:
    """Give a model new weights outside its encoder, from the random state of torch, as if it had been saved without them."""
    other = type(model)(model.config).train(model.training)
    for name, _ in model.named_children():
        if name != model.base_model_prefix:
            setattr(model, name, getattr(other, name))


def load_tokenizer(
    name: str | Path,
    *,
    way_out: str,
    rows: int | None = None,
    longest: int | None = None,
    pads: bool = True,
    **kwargs: Any,
):
    """Load the tokenizer of a model.

    Args:
        name: a folder or a Hub id.
        way_out: what the user can do instead, for the error message.
        rows: number of embeddings of the model that reads its tokens, if known.
        longest: most tokens that this model reads, if known; the tokenizer gets no higher limit.
        pads: whether it must be able to pad texts to one length.
        **kwargs: passed to `from_pretrained`.

    Raises:
        InputError: If there is no tokenizer, it cannot be loaded, it has more tokens than the model has embeddings, or it
            has no padding token and must pad.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **kwargs)
        tokenizer(_RARE_CHARACTER)  # a tokenizer without its own unknown token fails at an unknown character
    except Exception as error:  # the tokenizers library raises nothing more specific
        raise InputError(f"The tokenizer of {name} cannot be opened ({_reason(error)}); {way_out}.") from error
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes if it finds no file
        raise InputError(f"There is no tokenizer with {name}; {way_out}.")
    if rows is not None and len(tokenizer) > rows:
        raise InputError(
            f"The tokenizer of {name} has {len(tokenizer)} tokens, the model only {rows} embeddings: they do not belong "
            f"together; {way_out}."
        )
    if pads and tokenizer.pad_token is None:
        raise InputError(
            f"The tokenizer of {name} has no padding token, so texts of different lengths cannot be in one batch; name one "
            "of its tokens (tokenizer.pad_token = '[PAD]', or tokenizer.unk_token if it has no better one), and save it "
            "there with tokenizer.save_pretrained."
        )
    if longest is not None and tokenizer.model_max_length > longest:
        tokenizer.model_max_length = longest
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: str | Path) -> None:
    """Save a tokenizer in words that transformers 4 knows too, so that it gives the same ids there.

    transformers 5 writes `TokenizersBackend` for a tokenizer that does what tokenizer.json says, and extra tokens as a
    list. It reads the older words as well.

    Args:
        tokenizer: a tokenizer, or another processor.
        folder: a folder that exists.
    """
    tokenizer.save_pretrained(folder)
    file = Path(folder, "tokenizer_config.json")
    if not file.is_file():
        return
    values = json.loads(file.read_text(encoding="utf-8"))
    if values.get("tokenizer_class") == "TokenizersBackend":
        # The names too: the class of transformers 4 numbers the texts of a pair unless it is told not to.
        values |= {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": list(tokenizer.model_input_names),
        }
    if isinstance(values.get("extra_special_tokens"), list):
        values["additional_special_tokens"] = values.pop("extra_special_tokens")
    write_json(file, values)


def check_padding(model, tokenizer: Any) -> None:
    """Refuse a tokenizer that pads with another token than the one from which a model counts positions.

    `Trainer` sets `config.pad_token_id` to the tokenizer's, so that what is saved would open with other positions.

    Args:
        model: a model of transformers; one of another architecture or class passes.
        tokenizer: the tokenizer; anything without a padding token passes.

    Raises:
        InputError: The two differ.
    """
    config = getattr(model, "config", None)
    ours, theirs = getattr(config, "pad_token_id", None), getattr(tokenizer, "pad_token_id", None)
    kind = stock_type(getattr(config, "model_type", ""))
    if _counts_from_config(kind) and None not in (ours, theirs) and ours != theirs:
        raise InputError(
            f"The model has pad_token_id {ours} in its config, and its tokenizer pads with {theirs}; {kind} counts positions "
            "from it, so both must be the one that the model was trained with: give the tokenizer of the model, or open "
            f"the model with pad_token_id={theirs}."
        )


def _counts_from_config(kind: str) -> bool:
    return POSITIONS_BEHIND_PADDING.get(kind, 0) is None


def rows_of(model) -> int:
    """Return the number of tokens that a model has embeddings for."""
    return model.get_input_embeddings().num_embeddings


def longest_text(config) -> int | None:
    """Return the maximum number of tokens that a model can read, or None if its config does not say."""
    positions = getattr(config, "max_position_embeddings", None)
    if not getattr(config, "position_biased_input", True):  # DeBERTa without embeddings of absolute positions
        return None
    kind = stock_type(config.model_type)
    if positions is None or kind not in POSITIONS_BEHIND_PADDING:
        return positions
    fixed = POSITIONS_BEHIND_PADDING[kind]
    return positions - (config.pad_token_id if fixed is None else fixed) - 1


def longest_input(tokenizer, positions: int | None, *, default: int = LONGEST) -> int:
    """Return the maximum number of tokens of a text for a tokenizer and its model.

    Args:
        tokenizer: one that was saved without a limit, such as DeBERTa's, has `model_max_length` 10^30, which counts as none.
        positions: of the model, from `longest_text`.
        default: the result if neither has a limit.
    """
    from transformers.tokenization_utils_base import LARGE_INTEGER

    own = getattr(tokenizer, "model_max_length", None)
    limits = (positions, own if own is not None and own < LARGE_INTEGER else None)
    return min((limit for limit in limits if limit), default=default)


def save_under_own_names(model) -> None:
    """Make a model save its weights by the names that its class has.

    `from_pretrained` renames weights with older names (LayerNorm.gamma), and `save_pretrained` names them so again, but
    neither resuming nor `load_best_model_at_end` renames them: they would silently leave such weights as they are.

    Args:
        model: the model; changed in place.
    """
    for module in model.modules():
        # Without this list, a model is saved as one that was built from its config.
        vars(module).pop("_weight_conversions", None)


def use_trainable_dtype(model, *, scaled: bool) -> None:
    """Turn fp16 weights, which no optimizer of a `Trainer` can train, into fp32, and say so.

    Updates of fp16 weights overflow, or vanish in Adam; stock `Trainer` goes on with them. bf16 weights stay.

    Args:
        model: the model; changed in place, so that an optimizer that was made before keeps its parameters.
        scaled: whether gradients are scaled (`fp16=True`), which needs fp32 weights of any model.
    """
    import torch

    found = {parameter.dtype for parameter in model.parameters() if parameter.requires_grad}
    named = f"The weights of this {type(model).__name__} are %s (from_pretrained keeps the dtype of the file)"
    if torch.float16 in found or (scaled and torch.bfloat16 in found):
        half = "float16, which Adam" if torch.float16 in found else "bfloat16, which fp16=True"
        model.float()
        logger.warning(
            f"{named}: they are turned into float32, and saved so. Open the model with dtype='float32' to do it yourself.",
            f"{half} cannot train",
        )
    elif torch.bfloat16 in found:
        logger.warning(
            f"{named}: small updates are lost in training. Open the model with dtype='float32', and set bf16=True.",
            "bfloat16",
        )


def _reason(error: Exception) -> str:
    if isinstance(error, UnpicklingError):
        return (
            "its weights are a pickle that is damaged or holds more than tensors; such a pickle can run code when it is loaded, "
            "so it is not opened: ask for model.safetensors"
        )
    words = one_line(error)
    return words if isinstance(error, OSError | ValueError | RuntimeError) else f"{type(error).__name__}: {words}"


def _check_config(config) -> None:
    """Raise a ValueError if a config cannot be that of a classifier."""
    named = config.architectures
    if named is not None and not (isinstance(named, list) and all(isinstance(one, str) for one in named)):
        raise ValueError(f"architectures in its config is {named!r}; it must be a list of names")
    if getattr(config, "quantization_config", None):
        raise ValueError("its config has a quantization_config; use the model in full precision")
    for name in SIZES:
        value = getattr(config, name, 1)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} in its config is {value!r}; it must be 1 or more")
    if (pad := getattr(config, "pad_token_id", None)) is not None and not 0 <= pad < getattr(
        config, "vocab_size", pad + 1
    ):
        raise ValueError(f"pad_token_id in its config is {pad}, vocab_size is {config.vocab_size}")
    if pad is None and _counts_from_config(stock_type(config.model_type)):
        raise ValueError(
            f"its config has no pad_token_id, from which {config.model_type} counts positions; set it there"
        )
    if not isinstance(sizes := getattr(config, "compact_linears", None), dict | None):
        raise ValueError(f"compact_linears in its config is {sizes!r}; it must be {{path: [outputs, inputs]}}")
    labels = config.id2label or {}
    if config.id2label is not None and not labels:
        raise ValueError("id2label in its config is {}; it must name at least one output")
    if sorted(labels) != list(range(len(labels))) or not all(isinstance(label, str) for label in labels.values()):
        raise ValueError(f"id2label in its config is {labels!r}; it must name the outputs 0, 1, 2, ...")
