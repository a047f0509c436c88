"""Limits: how many requests run and wait, so that a latency is that of one model, and how many visitors are remembered."""

from __future__ import annotations

from typing import Any

ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "models"}  # or they slow each other
WAITING = 64  # requests in the queue; the next one is turned away politely
VISITORS = (
    100  # whose state is kept, about 1 MB each; gradio drops none before it has 10,000, however long they are gone
)
