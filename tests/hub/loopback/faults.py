"""Planned faults: an error status, or a connection that breaks after a given number of bytes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock

from tests.hub.loopback.answers import Answer, Refusal


@dataclass
class Fault:
    """A fault: which requests fail, how, and how often.

    Attributes:
        method: of the request.
        path: regular expression that is found in the path (without the query).
        status: of the answer; used if nothing is dropped.
        message: in the answer, for people; by default the name of the status.
        headers: of the answer.
        body: of the answer; by default JSON with the message.
        drop_after: bytes of the request's body after which the connection breaks; nothing is done with the request.
        drop_response_after: bytes of the answer's body after which it breaks; the request has been carried out.
        times: how often it still happens.
        happened: how often it has.
    """

    method: str
    path: str
    status: int = 500
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    drop_after: int | None = None
    drop_response_after: int | None = None
    times: int = 1
    happened: int = 0

    def answer(self) -> Answer:
        """Return the answer to send."""
        refusal = Refusal(self.status, self.message or HTTPStatus(self.status).phrase, headers=self.headers).answer()
        return refusal if self.body is None else Answer(self.status, self.body, self.headers)


class Faults:
    """The planned faults, oldest first."""

    def __init__(self):
        self._planned: list[Fault] = []
        self._lock = Lock()  # a client uploads several files at a time

    def plan(self, fault: Fault) -> Fault:
        """Add a fault.

        Raises:
            ValueError: The status is not an error, or `times` is below 1.
        """
        if not 400 <= fault.status <= 599:
            raise ValueError(f"status is {fault.status}; a fault has 400 to 599")
        if fault.times < 1:
            raise ValueError(f"times is {fault.times}; a fault happens at least once")
        self._planned.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """Return the first fault that applies to this request, and count it."""
        with self._lock:
            for fault in self._planned:
                if fault.happened < fault.times and fault.method == method and re.search(fault.path, path):
                    fault.happened += 1
                    return fault
        return None
