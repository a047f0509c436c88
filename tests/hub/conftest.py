"""Shared: a Hub for each test, which must have understood everything that it was asked."""

import pytest

from trainer_ext.loopback_hub import LoopbackHub


@pytest.fixture
def hub():
    """A fresh Hub; afterwards, no request may have been unknown to it."""
    with LoopbackHub() as hub:
        yield hub
    assert hub.unhandled == []
