"""Compact models: a stock transformers model whose Linears have the sizes that pruning left them.

This one file travels beside the weights, so that a compact model opens with `trust_remote_code=True` where the package
that made it is not installed. It needs nothing but transformers and torch. For every stock class `X` it offers
`CompactX`: the same model and the same configuration, built with the sizes listed in `config.compact_linears`.
"""

import transformers
from torch import nn

PREFIX = "Compact"
_BUILT = {}


def resize(model, sizes):
    """Replace Linears of a freshly built model by Linears of other sizes.

    Args:
        model: any transformers model.
        sizes: `{path below model.base_model: [out_features, in_features]}`.

    Raises:
        ValueError: if a path names no Linear, or a size is not a pair of positive integers.
    """
    for path, size in sizes.items():
        try:
            linear = model.base_model.get_submodule(path)
        except AttributeError:
            linear = None
        if not isinstance(linear, nn.Linear):
            raise ValueError(f"compact_linears names {path!r}, which is no Linear of {type(model).__name__}.")
        if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
            raise ValueError(f"compact_linears[{path!r}] must be [out_features, in_features], got {size!r}.")
        weight = linear.weight
        smaller = nn.Linear(size[1], size[0], linear.bias is not None, device=weight.device, dtype=weight.dtype)
        parent, _, name = path.rpartition(".")
        setattr(model.base_model.get_submodule(parent), name, smaller)


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
            "__annotations__": {"compact_linears": dict | None},
            "model_type": "compact-" + stock.model_type,
            "compact_linears": None,
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
