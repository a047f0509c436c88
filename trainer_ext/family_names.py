"""Architectures that can be pruned, by `model_type`; apart from their layouts, because this list must import fast."""

MODEL_TYPES = ("bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta")
