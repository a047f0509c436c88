"""Serve the page that compares a model before and after compression: `python app.py [RUN]`, or a Space on the Hub.

Without an argument, the models are those of `models.json` in this folder; without this file, those of the quickstart,
which is run first if necessary. Private models need a token in the environment variable HF_TOKEN, a secret of the Space.
"""

import importlib.util
import os
import sys
from pathlib import Path

from core.limits import import_spaces

HERE = Path(__file__).resolve().parent


def prepare() -> None:
    """Turn off telemetry, and find the package: installed, or in the wheel in this folder.

    This must happen before gradio, transformers and the package are imported.
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
    """Serve the page until it is stopped; exit with status 2 and a one-line message if something is missing."""
    prepare()
    from core.startup import QUICKSTART, choose, ensure

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
    """Exit with status 2 and a one-line message."""
    sys.stderr.write(f"{why}\n")
    sys.exit(2)


def serve(names: dict[str, str]) -> None:
    """Load the two models, build their page and serve it.

    Args:
        names: Folder or Hub id of "baseline" and "compressed".
    """
    import_spaces()
    import torch
    from core.deployed import with_exports
    from core.limits import VISITORS
    from core.models import open_pair
    from page import build_page, theme

    torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # leave one core to the server
    page = build_page(with_exports(open_pair(names)))
    page.launch(theme=theme(), css_paths=HERE / "style.css", footer_links=["api"], state_session_capacity=VISITORS)


if __name__ == "__main__":
    main()
