"""The endpoint for people: the page of a repository in a browser."""

from tests.hub.loopback.answers import Answer
from tests.hub.loopback.endpoints_download import INERT
from tests.hub.loopback.pages import repository_page
from tests.hub.loopback.state import Call, HubState

# The sandbox is for files; the page itself may show the images and follow the links.
_POLICY = "default-src 'none'; img-src 'self' http://127.0.0.1:* data:; style-src 'unsafe-inline'"


def page(state: HubState, call: Call) -> Answer:
    """The card, the metadata and the files of `main`."""
    hosted = state.visible(call)
    files = {path: blob.content for path, blob in hosted.repository.at("main").files.items()}
    html = repository_page(hosted.id, files, files_at=f"/{hosted.path}/resolve/main/", note="On this machine only.")
    headers = INERT | {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": _POLICY}
    return Answer(200, html.encode(), headers)
