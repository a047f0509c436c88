"""Registration: transformers' Auto classes learn the compact models, at the moment they are first imported.

Importing the Auto classes pulls in torch. Doing that from `import trainer_ext` would make every command slow to start,
so registration waits (wrapt's post-import hooks) until somebody else imports them.
"""

from __future__ import annotations

import wrapt

from ..family_names import MODEL_TYPES

_CONFIGS = "transformers.models.auto.configuration_auto"
_MODELS = "transformers.models.auto.modeling_auto"


def register_configs(auto) -> None:
    """Register `compact-bert` and its like in `AutoConfig`.

    Args:
        auto: the module `transformers.models.auto.configuration_auto`.
    """
    from .modeling_compact import compact_config

    for model_type in MODEL_TYPES:
        config = compact_config(auto.CONFIG_MAPPING[model_type])
        auto.AutoConfig.register(config.model_type, config, exist_ok=True)


def register_models(auto) -> None:
    """Register the compact classifiers and their encoders in the Auto model classes.

    Args:
        auto: the module `transformers.models.auto.modeling_auto`.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from .modeling_compact import compact_config, compact_model

    tasks = {
        auto.AutoModel: auto.MODEL_MAPPING,
        auto.AutoModelForSequenceClassification: auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    }
    for model_type in MODEL_TYPES:
        stock = CONFIG_MAPPING[model_type]
        for auto_class, mapping in tasks.items():
            auto_class.register(compact_config(stock), compact_model(mapping[stock]), exist_ok=True)


def register_on_import() -> None:
    """Register now what is imported already, and the rest when it is."""
    wrapt.register_post_import_hook(register_configs, _CONFIGS)
    wrapt.register_post_import_hook(register_models, _MODELS)
