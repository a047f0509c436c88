"""A Hub on the loopback interface: real HTTP, in memory, for one process, gone when it is closed.

It speaks what the client of `huggingface_hub` speaks to publish and to load: repositories and their settings, uploads
through git-LFS, commits, branches and tags, listings, downloads, the checks of a card, and what a Space needs. A
publication can so be rehearsed before anybody sees it, and every failure of the real Hub can be had on demand.

It has no Xet storage (clients need `HF_HUB_DISABLE_XET=1`, see `LoopbackHub.environment`), no uploads in several
parts, no pull requests and no search. A Space is stored but not run: with an `app.py` it stays "BUILDING".
"""

from tests.hub.loopback.records import Request
from tests.hub.loopback.repository import Commit
from tests.hub.loopback.server import LoopbackHub

__all__ = ["Commit", "LoopbackHub", "Request"]
