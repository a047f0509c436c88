"""Open models of own classes in a fresh process, as their users would, and write what they answer to a batch.

Arguments: a folder with the folder of each model, and `batch.pt`; the names of the models.
"""

import sys
from pathlib import Path

import torch

import trainer_ext
from tests.scripts import own_classes
from trainer_ext.models.outputs import answers

here, names = Path(sys.argv[1]), sys.argv[2:]
batch = torch.load(here / "batch.pt", weights_only=True)
for name in names:
    cls = getattr(own_classes, name)
    if hasattr(cls, "from_pretrained"):
        model = cls.from_pretrained(here / name).eval()
    else:
        model = trainer_ext.load_compact(cls(), here / name)
    inputs = batch if name == "Features" else {k: v for k, v in batch.items() if k not in ("token_type_ids", "length")}
    torch.save(answers(model, inputs), here / f"{name}.pt")
