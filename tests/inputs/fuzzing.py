"""Fuzzing: how many examples hypothesis tries, and what it makes them of.

A test run tries a few, the same each time; `make fuzz` sets FUZZ_EXAMPLES and tries as many new ones, and every failure
is printed with the example that shows it.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings, strategies as st

from trainer_ext import InputError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", 0))
FEW = 30


def fuzz(test):
    """A property, tried on few examples that are always the same, or on as many new ones as are asked for."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=EXAMPLES or FEW,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=checks,
        print_blob=True,
    )(test)


# Characters that files hold and readers stumble over.
ODD = (
    *("\0", "\t", "\r", "\n", "\ufeff", "\u200b", "\u2028", "\x85", "\x1a", "\x7f", " ", "\u00a0"),
    *(
        '"',
        "'",
        ",",
        ";",
        "|",
        "\\",
        "#",
        "-",
        "=",
        "\U0001f600",
        "\u0301",
        "न",
        "\u094d",
        "\ufffd",
        "\udcff",
        "a",
        "0",
    ),
)
WORDS = st.text(st.sampled_from(ODD) | st.characters(), max_size=12) | st.sampled_from(ODD)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, 1e-320, float("inf"), float("-inf"), float("nan")])
)
LEAVES = st.none() | st.booleans() | NUMBERS | WORDS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)


def texts_of(*parts: str) -> st.SearchStrategy[bytes]:
    """Bytes of a file: these parts in any order with odd characters between, sometimes cut or not UTF-8 at all."""
    pieces = st.lists(st.sampled_from(parts) | WORDS, max_size=40).map("".join)
    whole = (pieces | st.text(max_size=60)).map(lambda text: text.encode("utf-8", "surrogatepass"))
    bent = st.tuples(whole, st.integers(0, 400), st.binary(max_size=3))
    return whole | bent.map(lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]) | st.binary(max_size=40)


def value_or_line(call, *args, **kwargs):
    """What a call returns, or None where it refused its input in one line; every other exception is a finding."""
    try:
        return call(*args, **kwargs)
    except InputError as error:
        message = str(error)
        assert message.strip(), "a refusal says something"
        assert len(message.splitlines()) == 1, repr(message)
        return None
