"""Architectures that can be pruned, by `model_type`; apart from their layouts, because this list must import fast."""

MODEL_TYPES = (
    *("albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta"),
    "xlm-roberta",
)

# The model_type of a compact model is this and that of its stock architecture.
COMPACT_PREFIX = "compact-"
