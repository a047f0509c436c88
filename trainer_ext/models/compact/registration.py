"""Registration: transformers' Auto classes know the compact models, and `import trainer_ext` does not wait for torch.

Making a compact class needs its stock class, and that needs torch. So the registry of configurations gets a stand-in
for each, at the moment it is imported itself (wrapt's post-import hook), and the first use of a stand-in registers the
real configuration and models. Nothing may be imported in the hook: transformers' own modules are half loaded then.

Architectures that can be pruned, by `model_type`; apart from their layouts, because this list must import fast.
"""

from __future__ import annotations

import functools

import wrapt

MODEL_TYPES = (
    *("albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta"),
    "xlm-roberta",
)

# The model_type of a compact model is this and that of its stock architecture.
COMPACT_PREFIX = "compact-"


_CONFIGS = "transformers.models.auto.configuration_auto"


class DeferredConfig:
    """Stands in for the configuration class of one compact architecture until it is used."""

    def __init__(self, model_type: str, name: str):
        self.model_type, self.__name__ = model_type, name

    def __call__(self, *args, **kwargs):
        """Make a configuration, as the class itself does."""
        return register(self.model_type)(*args, **kwargs)

    def from_dict(self, config_dict, **kwargs):
        """Make a configuration from a mapping, as the class itself does."""
        return register(self.model_type).from_dict(config_dict, **kwargs)


@functools.cache
def register(model_type: str) -> type:
    """Register the compact configuration, encoder and heads of one architecture in the Auto classes.

    Args:
        model_type: of the stock architecture, such as `bert`.

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
    """Give the registry of configurations its stand-ins, now if it is imported already, else when it is."""
    wrapt.register_post_import_hook(_add_stand_ins, _CONFIGS)


def _add_stand_ins(configuration_auto) -> None:
    for model_type in MODEL_TYPES:
        name = "Compact" + configuration_auto.CONFIG_MAPPING_NAMES[model_type]
        stand_in = DeferredConfig(model_type, name)
        configuration_auto.CONFIG_MAPPING.register(COMPACT_PREFIX + model_type, stand_in, exist_ok=True)
