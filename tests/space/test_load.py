"""Many clients at the same time: all get an answer or a polite rejection, and no other address is called.

The minute-long form with numbers is `python -m recipes.benchmarks.page_load`.
"""

import socket
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pytest
from core.limits import VISITORS, WAITING
from gradio_client.utils import QueueError

from recipes.benchmarks import page_load, page_process
from recipes.benchmarks.page import TEXT
from tests.helpers.paging import environment, run, write_pair
from trainer_ext.hub.space import space_folder

pytestmark = pytest.mark.slow

ASK_OUTSIDE = "import urllib.request; urllib.request.urlopen('http://example.org')"

# Not served: twenty more visitors than are remembered come to the page, and it tells how many it has, and the oldest.
REMEMBER = """
import sys
sys.path[:0] = sys.argv[1:3]
import app, gradio
from gradio.state_holder import StateHolder
from core.limits import VISITORS
def launch(page, *, state_session_capacity, **_):
    page.state_session_capacity = state_session_capacity  # as gradio does
    remembered = StateHolder()
    remembered.set_blocks(page)
    for visitor in range(VISITORS + 20):
        remembered[str(visitor)]
    print(len(remembered.session_data), next(iter(remembered.session_data)))
gradio.Blocks.launch = launch
app.serve(dict(zip(("baseline", "compressed"), sys.argv[3:])))
"""


@pytest.fixture
def outside():
    """A proxy on this machine that counts who comes and lets nobody through: its variables, and the visits."""
    visits = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:  # closed: the test is over
                    return
                with client:
                    visits.append(client.recv(1000))

        threading.Thread(target=refuse, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        names = ("http_proxy", "https_proxy", "all_proxy")
        proxies = {spelled: address for name in names for spelled in (name, name.upper())}
        yield {**proxies, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}, visits
        server.shutdown(socket.SHUT_RDWR)


def test_who_asks_outside_is_counted(outside):
    variables, visits = outside
    done = subprocess.run([sys.executable, "-c", ASK_OUTSIDE], env=environment(**variables), capture_output=True)
    assert done.returncode == 1
    assert len(visits) == 1


def flood(address: str, requests: int) -> Counter[int]:
    """The status of each of so many requests, sent faster than they are answered, by people who do not wait."""

    def send(_: int) -> int:
        return httpx.post(f"{address}/gradio_api/call/compare", json={"data": [TEXT]}, timeout=60).status_code

    with ThreadPoolExecutor(20) as pool:
        return Counter(pool.map(send, range(requests)))


def test_many_at_once_are_answered_or_turned_away(outside, tiny_model, cut, tmp_path):
    variables, visits = outside
    command = [sys.executable, str(space_folder() / "app.py"), str(write_pair(tmp_path / "run", tiny_model, cut))]
    variables = environment(**{**variables, "HF_HUB_OFFLINE": "0"}, PYTHONPATH=str(space_folder().parent))
    with page_process.started(command, cwd=tmp_path, environment=variables) as (address, process):
        page_load.press(address, process, clients=2, seconds=0.5)  # what is loaded once is loaded then
        pressed = page_load.press(address, process, clients=10, seconds=2)
        statuses = flood(address, 4 * WAITING)
        after = page_load.press(address, process, clients=1, seconds=0.1)
        more_mb = page_load.megabytes(process) - pressed.memory_mb[0]
    assert (pressed.errors, pressed.turned_away) == ({}, 0)
    assert len(pressed.waited) == len(pressed.measured) >= 10
    assert statuses.keys() == {200, 503}
    assert statuses[200] >= WAITING
    assert after.waited or after.turned_away
    assert after.errors == {}
    assert more_mb < 150
    assert visits == []
    assert "Traceback" not in (tmp_path / "page.log").read_text()


def test_of_many_visitors_the_last_are_remembered(tiny_model, cut, tmp_path):
    """Each costs about 1 MB, and gradio itself lets none go before it has 10,000."""
    pair = write_pair(tmp_path / "run", tiny_model, cut)
    places = (space_folder(), space_folder().parent)
    printed = run([sys.executable, "-c"], REMEMBER, *places, *(pair / name for name in ("baseline", "compressed")))
    assert printed.split() == [str(VISITORS), "20"]


def test_another_error_is_one(monkeypatch):
    """Of four answers one is an answer, one a full queue and two are errors."""
    monkeypatch.setattr(page_load, "AGAIN_S", 0.0)
    ends = iter([QueueError("full"), ValueError("one"), {"compressed": {"milliseconds": 3.0}}, ValueError("one")])
    seen, times = page_load.Pressure(), iter([0, 1, 2, 2.5, 3, 9])

    def predict(*_, **__):
        end = next(ends)
        if isinstance(end, Exception):
            raise end
        return end

    monkeypatch.setattr(page_load.time, "perf_counter", lambda: next(times))
    page_load.ask(SimpleNamespace(predict=predict), 5, seen)
    assert (seen.waited, seen.measured, seen.turned_away) == ([500.0], [3.0], 1)
    assert seen.errors == {"ValueError: one": 2}
