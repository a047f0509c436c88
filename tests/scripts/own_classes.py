"""Models of users: an encoder of transformers with a head, a forward or a config of their own. Nothing here knows trainer_ext."""

import threading

import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertPreTrainedModel,
    DistilBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

LABELS = 3
SIZES = {
    "vocab_size": 128,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.2,
}


def bert_config(**changes):
    """The config of a tiny encoder."""
    return BertConfig(**SIZES, num_labels=LABELS, **changes)


class MLPHead(BertForSequenceClassification):
    """A head of one's own in place of the stock one."""

    def __init__(self, config):
        super().__init__(config)
        self.classifier = nn.Sequential(nn.Linear(32, 16), nn.GELU(), nn.Linear(16, config.num_labels))
        self.post_init()


class Returns(BertPreTrainedModel):
    """The head and forward of older tutorials: returns a tuple of the loss and the logits."""

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config)
        self.out = nn.Linear(32, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, labels=None):
        logits = self.out(self.bert(input_ids, attention_mask=attention_mask)[1])
        return logits if labels is None else (F.cross_entropy(logits, labels), logits)


class TwoHeads(PreTrainedModel):
    """Two tasks on an encoder that AutoModel makes."""

    config_class, _supports_sdpa = BertConfig, True

    def __init__(self, config):
        super().__init__(config)
        self.encoder = AutoModel.from_config(config)
        self.topic, self.mood = nn.Linear(32, 3), nn.Linear(32, 2)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, labels=None):
        first = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state[:, 0]
        topic, mood = self.topic(first), self.mood(first)
        loss = None if labels is None else F.cross_entropy(topic, labels) + F.cross_entropy(mood, labels % 2)
        return {"loss": loss, "topic_logits": topic, "mood_logits": mood}


class Features(BertPreTrainedModel):
    """Needs token types, labels, and a number per row beside the text."""

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config)
        self.out = nn.Linear(33, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask, token_type_ids, length, labels):
        first = self.bert(input_ids, attention_mask, token_type_ids)[0][:, 0]
        logits = self.out(torch.cat([first, length[:, None].float()], dim=1))
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class OwnConfig(PreTrainedConfig):
    """A config of one's own around that of the encoder."""

    model_type = "own-topics"

    def __init__(self, encoder=None, hidden=32, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.hidden = encoder or {}, hidden


class Configured(PreTrainedModel):
    """A model with a config of its own, a DistilBERT inside, and names of its own for everything."""

    config_class, _supports_sdpa = OwnConfig, True

    def __init__(self, config):
        super().__init__(config)
        self.text = AutoModel.from_config(DistilBertConfig(**config.encoder))
        self.head = nn.Linear(config.hidden, LABELS)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, labels=None, **kwargs):
        logits = self.head(self.text(input_ids, attention_mask=attention_mask)[0].mean(1))
        return {"loss": None if labels is None else F.cross_entropy(logits, labels), "logits": logits}


class Net(nn.Module):
    """A plain module, as in many notebooks."""

    def __init__(self):
        super().__init__()
        self.encoder = AutoModel.from_config(bert_config())
        self.head = nn.Linear(32, LABELS)

    def forward(self, input_ids=None, attention_mask=None, labels=None):
        logits = self.head(self.encoder(input_ids, attention_mask).last_hidden_state[:, 0])
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class Nameless(Net):
    """Its outputs have names that do not say which are logits."""

    def forward(self, input_ids=None, attention_mask=None, labels=None):
        found = super().forward(input_ids, attention_mask, labels)
        return {"loss": found["loss"], "topics": found["logits"]}


class Siamese(Net):
    """Two encoders."""

    def __init__(self):
        super().__init__()
        self.second = AutoModel.from_config(bert_config())


class Asks(MLPHead):
    """Cannot be built from its config alone."""

    def __init__(self, config, width):
        super().__init__(config)
        self.width = width


class Locked(Net):
    """Cannot be copied."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Loose(Net):
    """Uses a layer of the encoder beside the encoder, so it does not compute the same once that layer is smaller."""

    def forward(self, input_ids=None, attention_mask=None, labels=None):
        found = super().forward(input_ids, attention_mask, labels)
        weight = self.encoder.encoder.layer[0].intermediate.dense.weight
        return {"loss": found["loss"], "logits": found["logits"] + weight.square().mean() + weight.shape[0]}


def distilbert_in_own_config():
    """A `Configured`."""
    sizes = {"vocab_size": 128, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "dropout": 0.0}
    return Configured(OwnConfig(sizes | {"attention_dropout": 0.0, "max_position_embeddings": 64}))


MAKE = {
    "MLPHead": lambda: MLPHead(bert_config()),
    "Returns": lambda: Returns(bert_config()),
    "TwoHeads": lambda: TwoHeads(bert_config()),
    "Features": lambda: Features(bert_config()),
    "Configured": distilbert_in_own_config,
    "Net": Net,
}
