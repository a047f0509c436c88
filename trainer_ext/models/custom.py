"""Models of the user's own class: a compact encoder inside them is saved with its sizes, and opens again.

A stock model becomes a model of a compact class, which the Auto classes open. A class that a user wrote builds an encoder
of full size, so somebody must change the sizes of its Linears before the weights are loaded:

- For a `PreTrainedModel`, transformers does: it lets a library change a model between its construction and the loading of
  its weights, if the `quantization_config` of the saved config names that library. `import trainer_ext` registers the
  method "trainer_ext", so `TheirClass.from_pretrained(folder)` works wherever this package was imported.
- For a plain module, `load_compact` does, from `compact.json` beside the weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..errors import InputError
from ..utils.checkpoints import stored_elsewhere
from ..utils.files import write_json
from .architectures import find_encoder, is_stock, layers_of

METHOD = "trainer_ext"
WEIGHTS, LAYOUT = "model.safetensors", "compact.json"


def layout_of(model) -> dict[str, Any]:
    """Return where the encoder of a model is, and the sizes of its Linears, in plain JSON.

    Args:
        model: a model with one encoder whose architecture is in `ARCHITECTURES`.
    """
    path, encoder = find_encoder(model)
    linears = {name: linear for layer in layers_of(model) for name, linear in layer.linears.items()}
    return {
        "model": type(model).__name__,
        "encoder": path,
        "compact_linears": {name: [linear.out_features, linear.in_features] for name, linear in linears.items()},
        "compact_heads": getattr(encoder.config, "compact_heads", None),
    }


def resize_encoder(model, layout: dict[str, Any]) -> None:
    """Give the encoder of a model the sizes of a compact one, in place; the Linears that change lose their weights.

    Args:
        model: a model with an encoder of full size.
        layout: as `layout_of` returns it.

    Raises:
        ValueError: If the encoder is another one, or has lost heads already.
    """
    from .compact import modeling_compact  # here, because it imports transformers

    path, encoder = find_encoder(model)
    if path != layout["encoder"]:
        raise ValueError(
            f"The compact encoder was at {layout['encoder']!r} of a {layout['model']}, and this {type(model).__name__} has "
            f"its encoder at {path!r}: build the model as it was built for the training."
        )
    if getattr(encoder.config, "compact_heads", None):
        raise ValueError(
            f"The encoder of this {type(model).__name__} has lost heads already, and cannot lose more: start from the dense model."
        )
    modeling_compact.resize(encoder, layout["compact_linears"])
    if heads := layout.get("compact_heads"):
        modeling_compact.choose_heads(encoder, heads)
        encoder.config.compact_heads = heads


def save_custom(model, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
    """Save a model of the user's own class with a compact encoder.

    Args:
        model: the model.
        folder: where its weights go, and its config or, for a plain module, `compact.json`.
        state_dict: its weights, if they were gathered elsewhere.
    """
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder, state_dict=state_dict)
        return
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # A clone of each: safetensors refuses tensors that share memory.
    weights = {name: tensor.detach().cpu().clone() for name, tensor in (state_dict or model.state_dict()).items()}
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    write_json(folder / LAYOUT, layout_of(model))


def load_compact(model, folder: str | Path):
    """Load what a training saved into a model of one's own class, which is made smaller for it.

    Args:
        model: the model, built as for the training: with an encoder of full size. Changed in place.
        folder: where `trainer.save_model` wrote the small model.

    Returns:
        The model in evaluation mode.

    Raises:
        InputError: If the folder holds no such model, or one of another shape.

    Example:
        >>> net = trainer_ext.load_compact(Net(), "small")
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        layout = _layout_in(folder)
        resize_encoder(model, layout)
        state = load_file(folder / WEIGHTS)
        tied = stored_elsewhere(model.state_dict(), state)
        model.load_state_dict(state | {name: state[there] for name, there in tied.items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{folder} cannot be loaded into this {type(model).__name__} ({type(error).__name__}: {error}); name the "
            "folder that trainer.save_model wrote, and build the model as for the training."
        ) from error
    return model.eval()


def _layout_in(folder: Path) -> dict[str, Any]:
    if (folder / LAYOUT).is_file():
        return json.loads((folder / LAYOUT).read_text(encoding="utf-8"))
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["quantization_config"]


def check_publishable(model) -> None:
    """Refuse to publish a model of the user's own class, which nobody could open without its code.

    Raises:
        ValueError: If the class of the model is not one of transformers.
    """
    if not is_stock(model):
        raise ValueError(
            f"{type(model).__name__} is a class of its own, which a model repository alone does not open: leave push_to_hub "
            "out, save the model (trainer.save_model), and upload the folder together with your code "
            "(huggingface_hub.upload_folder)."
        )


def register_method(auto: ModuleType) -> None:
    """Register the method "trainer_ext" with transformers, which then resizes a model before it loads its weights.

    Args:
        auto: `transformers.quantizers.auto`.
    """
    from transformers.quantizers.base import HfQuantizer
    from transformers.utils.quantization_config import QuantizationConfigMixin

    class CompactLayout(QuantizationConfigMixin):
        """The `quantization_config` of a model with a compact encoder: what `layout_of` returns."""

        def __init__(self, quant_method: str = METHOD, **layout: Any):
            vars(self).update(layout, quant_method=quant_method)

    class CompactLoader(HfQuantizer):
        """Changes the sizes of the encoder's Linears before the weights are loaded. It changes no dtype."""

        def _process_model_before_weight_loading(self, model, **kwargs: Any):
            layout = self.quantization_config.to_dict()
            if type(model).__name__ != layout["model"]:
                raise ValueError(
                    f"This model was saved as {layout['model']}, a class of its author: open it with "
                    f"{layout['model']}.from_pretrained(folder), not as {type(model).__name__}."
                )
            resize_encoder(model, layout)

        def _process_model_after_weight_loading(self, model, **kwargs: Any):
            self.remove_quantization_config(model)  # nothing is quantized: it trains and compiles like any other
            for module in model.modules():
                vars(getattr(module, "config", module)).pop("_is_quantized", None)
            model.config.quantization_config = self.quantization_config.to_dict()  # for when it is saved again
            return model

        def is_serializable(self) -> bool:
            return True

        @property
        def is_trainable(self) -> bool:
            return True

    if METHOD not in auto.AUTO_QUANTIZER_MAPPING:  # this package was imported again
        auto.register_quantization_config(METHOD)(CompactLayout)
        auto.register_quantizer(METHOD)(CompactLoader)
