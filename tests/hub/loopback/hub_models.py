"""Calls of transformers in a child process: publish tiny models, and load them by id."""

TEXTS = ["red and blue", "blue"]


def publish(folder, token):
    """Publish with `push_to_hub` and with a stock Trainer that has a token in its arguments; return the logits."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        PreTrainedTokenizerFast,
        Trainer,
        TrainingArguments,
    )

    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "red": 2, "and": 3, "blue": 4}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = AutoConfig.for_model("bert", vocab_size=8, num_labels=2, initializer_range=1.0, **sizes)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    model.push_to_hub("user/tiny")
    tokenizer.push_to_hub("user/tiny")
    logits = _logits(model, tokenizer)

    rows = Dataset.from_list([{**tokenizer(text), "labels": index} for index, text in enumerate(TEXTS)])
    arguments = TrainingArguments(
        folder,
        push_to_hub=True,
        hub_model_id="user/trained",
        hub_strategy="end",
        hub_token=token,
        max_steps=1,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    trainer.push_to_hub()
    return {"tiny": logits, "trained": _logits(model.eval(), tokenizer)}


def load():
    """Load both models by id from an empty cache; return their logits and the output of a pipeline."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    found = {}
    for name in ("tiny", "trained"):
        model = AutoModelForSequenceClassification.from_pretrained(f"user/{name}")
        found[name] = _logits(model, AutoTokenizer.from_pretrained(f"user/{name}"))
    found["pipeline"] = [answer["label"] for answer in pipeline("text-classification", "user/tiny")(TEXTS)]
    return found


def _logits(model, tokenizer):
    import torch

    with torch.inference_mode():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits.tolist()
