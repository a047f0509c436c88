"""Fresh process: open a model as a stranger would, without the package that made it, and write down its logits.

Run as a script: `python -I fresh.py MODEL_FOLDER BATCH.safetensors LOGITS.safetensors`.
"""

import sys


def main(folder: str, batch_file: str, logits_file: str) -> None:
    """Answer one stored batch with the model in `folder`.

    Args:
        folder: a saved model, with or without its own code beside it.
        batch_file: its inputs.
        logits_file: written here, `[rows, labels]` in fp32.
    """
    sys.modules["trainer_ext"] = None  # importing it now fails: what loads here loads without it
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
    with torch.inference_mode():
        logits = model(**load_file(batch_file)).logits.float()
    save_file({"logits": logits.contiguous()}, logits_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
