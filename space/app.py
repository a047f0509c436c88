"""The page that compares a model with what it was compressed to: `python app.py [RUN]`, or a Space on the Hub.

Without an argument the models are those of `models.json` beside this file, and where there is none those of the
quickstart, which is run first if it was not yet. A private model is read with the token of the environment (HF_TOKEN, a secret of the Space).
"""

import importlib.util
import os
import sys
from pathlib import Path

from gpu import import_spaces

HERE = Path(__file__).resolve().parent


def prepare() -> None:
    """Keep the page to itself, and find the package: installed, or in the wheel beside this file.

    All of it before gradio, transformers or the package is imported, which read it then.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if importlib.util.find_spec("trainer_ext") is None:
        sys.path += [str(wheel) for wheel in HERE.glob("trainer_ext-*.whl")]
    if importlib.util.find_spec("trainer_ext") is None:
        stop("trainer_ext is not installed; in its checkout: pip install -e '.[demo]'")
    if importlib.util.find_spec("gradio") is None:
        stop("gradio is not installed; it comes with an extra: pip install 'trainer-ext[demo]'")


def main() -> None:
    """Say in one line what is missing (exit status 2), or serve the page until it is stopped."""
    prepare()
    from names import QUICKSTART, choose
    from quickstart import ensure

    from trainer_ext import InputError

    arguments = sys.argv[1:]
    try:
        if not arguments and not (HERE / "models.json").exists():
            ensure(QUICKSTART, checkout=HERE.parent)
        serve(choose(arguments, beside=HERE))
    except InputError as error:
        stop(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def stop(why: str) -> None:
    """End with one line."""
    sys.stderr.write(f"{why}\n")
    sys.exit(2)


def serve(names: dict[str, str]) -> None:
    """Open the models of these names, build their page, and serve it."""
    import_spaces()
    import torch
    from limits import VISITORS
    from models import open_pair
    from page import build_page, theme

    torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # one core stays with the server, or models wait for it
    page = build_page(open_pair(names))
    page.launch(theme=theme(), css_paths=HERE / "style.css", footer_links=["api"], state_session_capacity=VISITORS)


if __name__ == "__main__":
    main()
