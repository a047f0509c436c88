"""What `make neighbours` says, with an index of our own: a command that answers as uv does."""

import pytest

from tests.by_hand import neighbours


@pytest.fixture
def index(tmp_path):
    """Make a command that resolves every package to one release alone, and to another one beside others."""

    def make(alone, beside):
        command = tmp_path / "uv"
        # The last word is the file of what is asked for; its first line is the package.
        command.write_text(
            '#!/bin/sh\nfor file; do :; done\nname=$(head -n 1 "$file" | sed "s/\\[.*//")\n'
            f'[ "$(wc -l < "$file")" -eq 0 ] && release={alone} || release={beside}\n'
            '[ "$release" = none ] && exit 1\necho "$name==$release"\n'
        )
        command.chmod(0o755)
        return str(command)

    return make


@pytest.mark.parametrize(("beside", "works"), [("2.0", True), ("1.0", False), ("none", False)])
def test_an_old_release_is_told_from_the_newest(index, beside, works, monkeypatch, capsys):
    uv = index("2.0", beside)
    monkeypatch.setattr(neighbours, "NEIGHBOURS", {"model[extra]": True})
    assert neighbours.main(["--uv", uv]) == (0 if works else 1)
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].split() == ["model[extra]", "2.0", beside]
    assert ("not as expected: model[extra]" in printed.err) != works
    monkeypatch.setattr(neighbours, "NEIGHBOURS", {"model[extra]": False})
    assert neighbours.main(["--uv", uv]) == (1 if works else 0)


def test_without_an_index_nothing_is_as_expected(index, monkeypatch, capsys):
    monkeypatch.setattr(neighbours, "NEIGHBOURS", {"model": False})
    assert neighbours.main(["--uv", index("none", "none")]) == 1
    assert "not as expected: model" in capsys.readouterr().err


def test_every_neighbour_stands_in_the_documentation():
    text = (neighbours.ROOT / "docs/limits.md").read_text()
    works = next(line for line in text.splitlines() if line.endswith("| the newest release |"))
    for name, newest in neighbours.NEIGHBOURS.items():
        assert name in text
        assert (name in works.split("|")[1].replace(",", " ").split()) == newest, name
