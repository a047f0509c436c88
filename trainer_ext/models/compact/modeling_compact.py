"""Compact models: a stock transformers model whose Linears have the sizes that pruning left them.

This file is saved with the weights, so that a compact model loads with `trust_remote_code=True` where the package that
made it is not installed. It needs only torch, and transformers 4.51 or newer. For every stock class `X` there is a `CompactX`: the same
model, built with the sizes in `config.compact_linears`. A few architectures also need the ids of the remaining heads,
which are in `config.compact_heads`.
"""

import copy
import inspect

import torch
import transformers
from torch import nn

PREFIX = "Compact"
_BUILT: dict[str, type] = {}
_RELEASE = tuple(int(part) for part in transformers.__version__.split(".")[:2])
if _RELEASE < (4, 51):
    raise ImportError(
        f"This compact model needs transformers 4.51 or newer, and {transformers.__version__} is installed: "
        "pip install --upgrade transformers."
    )

# What follows the context in an attention module that has its output projection inside, by architecture.
OUTPUTS = {
    "albert": lambda module, hidden, context: module.LayerNorm(hidden + module.output_dropout(module.dense(context))),
    "distilbert": lambda module, hidden, context: module.out_lin(context),
    "modernbert": lambda module, hidden, context: module.out_drop(module.Wo(context)),
    "mpnet": lambda module, hidden, context: module.o(context),
}


class NoHeads(nn.Module):
    """Attention without any head, for models that cannot reshape an empty tensor; it keeps the empty Linears."""

    def __init__(self, attention, output=None):
        super().__init__()
        self.output_of = output or (lambda module, hidden, context: context)
        for name, child in attention.named_children():
            self.add_module(name, child)

    def forward(self, hidden_states=None, *args, query=None, **kwargs):
        """Return an empty context, `[batch, tokens, 0]`, or what the output projection makes of it."""
        hidden = query if hidden_states is None else hidden_states
        return self.output_of(self, hidden, hidden[..., :0]), None


def _count_heads(attention, heads):
    attention.num_attention_heads = len(heads)
    return attention if heads else NoHeads(attention)


def _choose_heads(attention, heads):
    """The position bias has one plane per head of the dense model: select those of the remaining heads."""
    attention.num_attention_heads = len(heads)
    attention.all_head_size = len(heads) * attention.attention_head_size
    place = list(inspect.signature(attention.forward).parameters).index("position_bias")

    def choose(module, args, kwargs):
        bias = args[place]
        if bias is not None:
            bias = bias.index_select(1, torch.tensor(heads, dtype=torch.long, device=bias.device))
        return (*args[:place], bias, *args[place + 1 :]), kwargs

    attention.register_forward_pre_hook(choose, with_kwargs=True)
    return attention


# How to set up an attention module that cannot tell its heads from the sizes of its Linears, by architecture.
CHOOSE_HEADS = {"deberta-v2": _count_heads, "mpnet": _choose_heads}


def choose_heads(model, heads):
    """Set up the attention modules for the heads of the dense model that they have.

    Args:
        model: a transformers model whose Linears already have their sizes.
        heads: `{path below model.base_model: [ids]}`.

    Raises:
        ValueError: If the heads do not match the Linears. The model would run, but give other logits.
    """
    choose = CHOOSE_HEADS.get(model.config.model_type.removeprefix("compact-"))
    base, dense = model.base_model, range(model.config.num_attention_heads)
    known = [path for path, module in base.named_modules() if choose and hasattr(module, "attention_head_size")]
    if unknown := set(heads) - set(known):
        raise ValueError(
            f"compact_heads names {sorted(unknown)}, which is not an attention module of {type(model).__name__}."
        )
    for path in known:
        attention, ids = base.get_submodule(path), heads.get(path, list(dense))
        rows = next(child.out_features for child in attention.children() if isinstance(child, nn.Linear))
        count = rows // attention.attention_head_size
        if len(ids) != count or ids != [head for head in dense if head in ids]:
            raise ValueError(
                f"compact_heads[{path!r}] must be {count} ids in ascending order below {len(dense)}, got {ids!r}."
            )
        parent, _, name = path.rpartition(".")
        setattr(base.get_submodule(parent), name, choose(attention, ids))


def count_heads(model):
    """Tell every attention module how many heads it has: before transformers 5, none infers it from its Linears."""
    base, output = model.base_model, OUTPUTS.get(model.config.model_type.removeprefix("compact-"))
    for path, module in list(base.named_modules()):
        field = next((name for name in ("num_attention_heads", "n_heads", "num_heads") if hasattr(module, name)), None)
        linear = next((child for child in module.children() if isinstance(child, nn.Linear)), None)
        if field is None or linear is None:
            continue
        size = getattr(module, "attention_head_size", None) or getattr(module, "head_dim", None)
        size = size or module.dim // module.n_heads
        count = linear.out_features // size // (3 if hasattr(module, "Wqkv") else 1)
        setattr(module, field, count)
        for name in ("all_head_size", "dim"):
            if hasattr(module, name):
                setattr(module, name, count * size)
        if count == 0:
            parent, _, name = path.rpartition(".")
            setattr(base.get_submodule(parent), name, NoHeads(module, output))


def use_older_fields(config):
    """Give a configuration of transformers 5 the fields that ModernBERT reads before.

    Raises:
        ValueError: If the layers attend in an order that could not be said then.
    """
    rope = getattr(config, "rope_parameters", None)
    kinds = getattr(config, "layer_types", None)
    if not hasattr(config, "global_attn_every_n_layers") or not rope or not kinds:
        return
    config.global_rope_theta = rope["full_attention"]["rope_theta"]
    config.local_rope_theta = rope["sliding_attention"]["rope_theta"]
    full = [index for index, kind in enumerate(kinds) if kind == "full_attention"]
    config.global_attn_every_n_layers = step = full[1] if len(full) > 1 else len(kinds)
    if full != list(range(0, len(kinds), step)) or any(part["rope_type"] != "default" for part in rope.values()):
        raise ValueError(
            f"This compact model needs transformers 5 or newer, and {transformers.__version__} is installed: it cannot "
            "attend as layer_types and rope_parameters in config.json say."
        )


def resize(model, sizes):
    """Change the sizes of Linears of a newly built model.

    Args:
        model: any transformers model.
        sizes: `{path below model.base_model: [out_features, in_features]}`.

    Raises:
        ValueError: If a path does not name a Linear, or a size is not a pair of integers.
    """
    for path, size in sizes.items():
        try:
            linear = model.base_model.get_submodule(path)
        except AttributeError:
            linear = None
        if not isinstance(linear, nn.Linear):
            raise ValueError(f"compact_linears names {path!r}, which is not a Linear of {type(model).__name__}.")
        if len(size) != 2 or not all(isinstance(side, int) and side >= 0 for side in size):
            raise ValueError(f"compact_linears[{path!r}] must be [out_features, in_features], got {size!r}.")
        # In place: a new Linear would initialise itself, and warn if it is empty. post_init or the checkpoint fills this one.
        linear.out_features, linear.in_features = size
        linear.weight = nn.Parameter(linear.weight.new_empty(size))
        if linear.bias is not None:
            linear.bias = nn.Parameter(linear.bias.new_empty(size[0]))
        linear._is_hf_initialized = False
        if size[0] == 0:
            _attend_to_nothing(model.base_model.get_submodule(path.rpartition(".")[0]))


def _attend_to_nothing(attention):
    """Use eager attention, which is defined for zero heads; fused attention of PyTorch returns None on a GPU then."""
    config = getattr(attention, "config", None)
    if config is not None:
        attention.config = copy.copy(config)  # the other layers keep theirs
        attention.config._attn_implementation = "eager"


def compact_config(stock):
    """Return the configuration class of the compact models of one architecture; it is made once.

    Args:
        stock: a configuration class of transformers, such as `BertConfig`.
    """
    name = PREFIX + stock.__name__
    if name not in _BUILT:
        fields = {
            "__module__": __name__,
            "__doc__": f"{stock.__name__} with the sizes of the Linears that pruning changed.",
            "__annotations__": {"compact_linears": dict | None, "compact_heads": dict | None},
            "model_type": "compact-" + stock.model_type,
            "compact_linears": None,
            "compact_heads": None,
            "_auto_class": "AutoConfig",
        }
        _BUILT[name] = type(name, (stock,), fields)
    return _BUILT[name]


def compact_model(stock):
    """Return the compact model class of one architecture and task; it is made once.

    Args:
        stock: a model class of transformers, such as `BertForSequenceClassification`.
    """
    name = PREFIX + stock.__name__
    if name not in _BUILT:

        def __init__(self, config):
            if _RELEASE < (5, 0):
                use_older_fields(config)
            stock.__init__(self, config)
            resize(self, config.compact_linears or {})
            choose_heads(self, config.compact_heads or {})
            if _RELEASE < (5, 0):
                count_heads(self)
            self.post_init()

        auto_class = (
            "AutoModel" + stock.__name__[stock.__name__.index("For") :] if "For" in stock.__name__ else "AutoModel"
        )
        fields = {
            "__module__": __name__,
            "__doc__": f"{stock.__name__} with the sizes of Linears that its configuration lists.",
            "__init__": __init__,
            "config_class": compact_config(stock.config_class),
            "_auto_class": auto_class,
        }
        _BUILT[name] = type(name, (stock,), fields)
    return _BUILT[name]


def __getattr__(name):
    """Make `CompactX` on first use from the stock class `X`."""
    stock = getattr(transformers, name.removeprefix(PREFIX), None) if name.startswith(PREFIX) else None
    if not isinstance(stock, type):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return compact_config(stock) if name.endswith("Config") else compact_model(stock)
