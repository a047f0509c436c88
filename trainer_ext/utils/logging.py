"""Logging: what other libraries say on the screen."""

from __future__ import annotations

import os


def quiet() -> None:
    """Leave progress and our own words on the screen: the libraries' notes are for their developers."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers.utils import logging

    logging.disable_progress_bar()  # of loading and writing files; training keeps its own
