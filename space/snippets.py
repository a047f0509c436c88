"""Snippets: the code that gives the answer on the page again, to be copied: Python, curl and Gradio's client."""

from __future__ import annotations

import json
import shlex


def in_python(text: str, model: str) -> str:
    """The compressed model's answer, without this page."""
    return (
        "import trainer_ext  # its models open by name\n"
        "from transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", {model!r}, top_k=None)\n'
        f"print(classify({text!r}, truncation=True))\n"
    )


def in_client(text: str, address: str) -> str:
    """Both models' answers, from the page at this address, by Gradio's client for Python."""
    return f'from gradio_client import Client\n\nprint(Client({address!r}).predict({text!r}, api_name="/compare"))\n'


def in_curl(text: str, address: str) -> str:
    """The same from a shell: the first request says under which number the second finds the answer."""
    call = shlex.quote(f"{address.rstrip('/')}/gradio_api/call/compare")
    data = shlex.quote(json.dumps({"data": [text]}, ensure_ascii=False))
    return (
        f"call={call}\n"
        f"event=$(curl -s \"$call\" -H 'Content-Type: application/json' -d {data} | cut -d '\"' -f 4)\n"
        'curl -sN "$call/$event"\n'
    )
