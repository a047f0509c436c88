"""Fresh process: open a model as a stranger would, without the package that made it, and write down its logits.

Run as a script: `python -I fresh.py MODEL_FOLDER BATCH.safetensors LOGITS.safetensors`.
"""

import sys


def main(folder: str, batch_file: str, logits_file: str) -> None:
    """Answer one stored batch with the model in `folder`.

    Args:
        folder: a saved model, with or without its own code beside it.
        batch_file: its inputs.
        logits_file: written here in fp32, `[rows, labels]` or `[rows, length, labels]`; of a head with several outputs
            the last axis holds them.
    """
    sys.modules["trainer_ext"] = None  # importing it now fails: what loads here loads without it
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    name = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True).architectures[0]
    auto_class = getattr(transformers, "AutoModel" + name[name.index("For") :])
    model = auto_class.from_pretrained(folder, trust_remote_code=True).eval()
    with torch.inference_mode():
        output = model(**load_file(batch_file))
    parts = [value.float() for name, value in output.items() if name.endswith("logits")]
    save_file({"logits": torch.stack(parts, -1).squeeze(-1).contiguous()}, logits_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
