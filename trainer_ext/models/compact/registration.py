"""Registration: add the compact models to the Auto classes of transformers without importing torch.

A compact class is made from its stock class, which needs torch. So the registry of configurations gets a placeholder for
each when it is imported (a post-import hook of wrapt), and the first use of a placeholder registers the real classes. The
hook must not import anything, because the modules of transformers are only partly loaded at that time.
"""

from __future__ import annotations

import functools

import wrapt

# The `model_type` of every architecture that can be pruned; here, because this module imports fast.
MODEL_TYPES = (
    *("albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta"),
    "xlm-roberta",
)

COMPACT_PREFIX = "compact-"  # before the model_type of the stock architecture
_CONFIGS = "transformers.models.auto.configuration_auto"
_QUANTIZERS = "transformers.quantizers.auto"
_LOADER = "trainer_ext.models.custom:register_method"  # by name: it imports torch


class DeferredConfig:
    """Placeholder for the configuration class of one compact architecture until it is used."""

    def __init__(self, model_type: str, name: str):
        self.model_type, self.__name__ = model_type, name

    def __call__(self, *args, **kwargs):
        """Make a configuration, like the class itself."""
        return register(self.model_type)(*args, **kwargs)

    def from_dict(self, config_dict, **kwargs):
        """Make a configuration from a mapping, like the class itself."""
        return register(self.model_type).from_dict(config_dict, **kwargs)


@functools.cache
def register(model_type: str) -> type:
    """Register the compact configuration, encoder and heads of one architecture with the Auto classes.

    Args:
        model_type: the stock architecture, such as `bert`.

    Returns:
        The compact configuration class.
    """
    from transformers.models.auto import configuration_auto, modeling_auto

    from .modeling_compact import compact_config, compact_model

    stock = configuration_auto.CONFIG_MAPPING[model_type]
    config = compact_config(stock)
    configuration_auto.AutoConfig.register(config.model_type, config, exist_ok=True)
    for auto_class, mapping in (
        (modeling_auto.AutoModel, modeling_auto.MODEL_MAPPING),
        (modeling_auto.AutoModelForQuestionAnswering, modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING),
        (modeling_auto.AutoModelForSequenceClassification, modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING),
        (modeling_auto.AutoModelForTokenClassification, modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING),
    ):
        auto_class.register(config, compact_model(mapping[stock]), exist_ok=True)
    return config


def register_on_import() -> None:
    """Add the placeholders to the registry of configurations, now or when it is imported."""
    wrapt.register_post_import_hook(_add_placeholders, _CONFIGS)
    wrapt.register_post_import_hook(_LOADER, _QUANTIZERS)


def _add_placeholders(configuration_auto) -> None:
    for model_type in MODEL_TYPES:
        name = "Compact" + configuration_auto.CONFIG_MAPPING_NAMES[model_type]
        placeholder = DeferredConfig(model_type, name)
        configuration_auto.CONFIG_MAPPING.register(COMPACT_PREFIX + model_type, placeholder, exist_ok=True)
