"""Compute logits in a fresh process that cannot import this package, as a user who only has the model folder would.

`fresh_logits` runs this same file as a script in isolated mode, so it must import nothing of the package at its top.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast


def fresh_logits(name: str | Path, batch, *, python: str | Path | None = None, **variables: str):
    """Return the logits of a model loaded in a fresh process, on the device of the batch.

    Args:
        name: a folder, or a Hub id.
        batch: inputs by name.
        python: the Python that loads it; by default this one.
        **variables: environment variables of that process.

    Raises:
        InputError: If the model cannot be loaded there.
    """
    from safetensors.torch import load_file, save_file

    from ...errors import InputError

    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = Path(scratch) / "batch.safetensors", Path(scratch) / "logits.safetensors"
        save_file({name: value.cpu().contiguous() for name, value in batch.items()}, inputs)
        command = [str(python or sys.executable), "-I", __file__, str(name), str(inputs), str(outputs)]
        # A module cache of its own, so that it cannot load a code file cached from another model.
        environment = {**os.environ, **variables, "HF_MODULES_CACHE": scratch, "CUDA_VISIBLE_DEVICES": ""}
        decoded: dict[str, Any] = {"encoding": "utf-8", "errors": "replace"}  # whatever the locale is
        done = subprocess.run(command, capture_output=True, env=environment, stdin=subprocess.DEVNULL, **decoded)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"{name} cannot be loaded in a fresh process: {reason}")
        return load_file(outputs)["logits"].to(next(iter(batch.values())).device)


def main(folder: str, batch_file: str, logits_file: str) -> None:
    """Load the model in a folder without this package, run one batch and save the logits.

    Args:
        folder: a saved model, with or without its own code file.
        batch_file: the inputs, safetensors.
        logits_file: written in fp32, `[rows, labels]` or `[rows, length, labels]`; if the head has several outputs, they
            are the last axis.
    """
    sys.modules["trainer_ext"] = cast(Any, None)  # makes every import of the package fail
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    name = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True).architectures[0]
    auto_class = getattr(transformers, "AutoModel" + name[name.index("For") :])
    model = auto_class.from_pretrained(folder, trust_remote_code=True).eval()
    with torch.inference_mode():
        output = model(**load_file(batch_file), return_dict=True)
    parts = [value.float() for name, value in output.items() if name.endswith("logits")]
    save_file({"logits": torch.stack(parts, -1).squeeze(-1).contiguous()}, logits_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
