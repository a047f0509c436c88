"""Compact models: a stock transformers model whose Linears have the sizes that pruning left them.

This one file travels beside the weights, so that a compact model opens with `trust_remote_code=True` where the package
that made it is not installed. It needs nothing but transformers and torch. For every stock class `X` it offers
`CompactX`: the same model and the same configuration, built with the sizes listed in `config.compact_linears`. A few
architectures also read which heads are there: `config.compact_heads` lists them.
"""

import copy

import torch
import transformers
from torch import nn

PREFIX = "Compact"
_BUILT = {}


class NoHeads(nn.Module):
    """Attention without a head, for code that cannot reshape nothing into heads; it keeps the empty Linears."""

    def __init__(self, attention):
        super().__init__()
        for name, child in attention.named_children():
            self.add_module(name, child)

    def forward(self, hidden_states, *args, **kwargs):
        """An empty context, `[batch, tokens, 0]`."""
        return hidden_states[..., :0], None


def _count_heads(attention, heads):
    attention.num_attention_heads = len(heads)
    return attention if heads else NoHeads(attention)


def _choose_heads(attention, heads):
    """The position bias comes with one plane per head of the dense model."""
    attention.num_attention_heads = len(heads)
    attention.all_head_size = len(heads) * attention.attention_head_size

    def choose(module, args, kwargs):
        hidden_states, mask, bias, *rest = args
        if bias is not None:
            bias = bias.index_select(1, torch.tensor(heads, dtype=torch.long, device=bias.device))
        return (hidden_states, mask, bias, *rest), kwargs

    attention.register_forward_pre_hook(choose, with_kwargs=True)
    return attention


# What an attention module must be told where the sizes of its Linears do not say it, by architecture.
CHOOSE_HEADS = {"deberta-v2": _count_heads, "mpnet": _choose_heads}


def choose_heads(model, heads):
    """Tell attention modules which heads of the dense model they have.

    Args:
        model: a transformers model whose Linears have their sizes already.
        heads: `{path below model.base_model: [ids]}`.

    Raises:
        ValueError: if the heads are not those that the Linears hold: the model would run, and answer something else.
    """
    choose = CHOOSE_HEADS.get(model.config.model_type.removeprefix("compact-"))
    base, dense = model.base_model, range(model.config.num_attention_heads)
    known = [path for path, module in base.named_modules() if choose and hasattr(module, "attention_head_size")]
    if unknown := set(heads) - set(known):
        raise ValueError(f"compact_heads names {sorted(unknown)}, no attention of {type(model).__name__}.")
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


def resize(model, sizes):
    """Give Linears of a freshly built model other sizes.

    Args:
        model: any transformers model.
        sizes: `{path below model.base_model: [out_features, in_features]}`.

    Raises:
        ValueError: if a path names no Linear, or a size is not a pair of whole numbers.
    """
    for path, size in sizes.items():
        try:
            linear = model.base_model.get_submodule(path)
        except AttributeError:
            linear = None
        if not isinstance(linear, nn.Linear):
            raise ValueError(f"compact_linears names {path!r}, which is no Linear of {type(model).__name__}.")
        if len(size) != 2 or not all(isinstance(side, int) and side >= 0 for side in size):
            raise ValueError(f"compact_linears[{path!r}] must be [out_features, in_features], got {size!r}.")
        # In place: a new Linear would fill itself, and warn where it is empty; post_init or the checkpoint fills this one.
        linear.out_features, linear.in_features = size
        linear.weight = nn.Parameter(linear.weight.new_empty(size))
        if linear.bias is not None:
            linear.bias = nn.Parameter(linear.bias.new_empty(size[0]))
        linear._is_hf_initialized = False
        if size[0] == 0:
            _attend_to_nothing(model.base_model.get_submodule(path.rpartition(".")[0]))


def _attend_to_nothing(attention):
    """Products of nothing are defined everywhere; PyTorch's fused attention without a head gives None on a GPU."""
    config = getattr(attention, "config", None)
    if config is not None:
        attention.config = copy.copy(config)  # the other layers keep theirs
        attention.config._attn_implementation = "eager"


def compact_config(stock):
    """The configuration class of compact models of one architecture, made once.

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
    """The compact model class of one architecture and task, made once.

    Args:
        stock: a model class of transformers, such as `BertForSequenceClassification`.
    """
    name = PREFIX + stock.__name__
    if name not in _BUILT:

        def __init__(self, config):
            stock.__init__(self, config)
            resize(self, config.compact_linears or {})
            choose_heads(self, config.compact_heads or {})
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
