"""A test double of the Hugging Face Hub: real HTTP on the loopback interface, in memory.

It implements what the client of `huggingface_hub` uses to publish and to load: repositories and their settings, uploads
through git-LFS, commits, branches and tags, listings, downloads, the checks of a card, and the settings of a Space. Any
request can be made to fail.

It has no Xet storage (clients need `HF_HUB_DISABLE_XET=1`, see `LoopbackHub.environment`), no uploads in several
parts, no pull requests and no search. A Space is stored but not run: with an `app.py` it stays "BUILDING".
"""

from tests.hub.loopback.records import Request
from tests.hub.loopback.repository import Commit
from tests.hub.loopback.server import LoopbackHub

__all__ = ["Commit", "LoopbackHub", "Request"]
