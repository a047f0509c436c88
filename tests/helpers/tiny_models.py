"""Tiny random classifiers, one per architecture, and a pruning specification."""

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from trainer_ext import PruningSpec

SPEC = PruningSpec(method="movement", sparsity=0.5, attention="block", block_size=4, ffn="neuron", start=0.1, end=0.6)
NO_DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
NO_DROPOUT_DISTILBERT = ("dropout", "attention_dropout", "seq_classif_dropout")
# ALBERT runs each of two layers twice; DeBERTa as its published models have it, with projections of positions.
SPECIAL = {
    "albert": {"num_hidden_layers": 4, "num_hidden_groups": 2, "embedding_size": 16, "classifier_dropout_prob": 0.0},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    "electra": {"embedding_size": 16},
    "modernbert": dict.fromkeys(("pad_token_id", "bos_token_id", "cls_token_id"), 0)
    | dict.fromkeys(("eos_token_id", "sep_token_id"), 1)
    | {"attention_bias": True, "mlp_bias": True},
}


def build(model_type: str, *, auto_class=AutoModelForSequenceClassification, **changes):
    """Return a random model: hidden size 32, 2 layers of 4 heads of 8, 64 neurons, 128 tokens, 3 labels.

    Weights are about 0.3. The default initialisation (0.02) gives logits near zero, where a wrong result looks right.

    Args:
        model_type: the architecture.
        auto_class: the Auto class of its head.
        **changes: fields of the config.
    """
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 128, "num_labels": 3}
    sizes |= {"max_position_embeddings": 40, "hidden_dim" if model_type == "distilbert" else "intermediate_size": 64}
    sizes |= dict.fromkeys(NO_DROPOUT_DISTILBERT if model_type == "distilbert" else NO_DROPOUT, 0.0)
    config = AutoConfig.for_model(model_type, **{**sizes, **SPECIAL.get(model_type, {}), **changes})
    model = auto_class.from_config(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            norm = "norm" in name.lower() and name.endswith("weight")
            parameter.copy_(1 + 0.1 * noise if norm else 0.3 * noise)
    return model.eval()
