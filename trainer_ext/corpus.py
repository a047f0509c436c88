"""Corpus: unlabelled texts from files with one text per line, read as they are asked for."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import InputError

ENDINGS = (".txt", ".txt.gz")


def read_texts(paths: Sequence[str | Path], *, option: str = "--vocab_corpus") -> Iterator[str]:
    """The lines that hold a text, without white space around them.

    Args:
        paths: UTF-8 files, and folders, of which every .txt and .txt.gz file is read, in the order of their names.
        option: what the user gave them as, for the message.

    Raises:
        InputError: nothing is there, or a file cannot be read or is not UTF-8.
    """
    for file in [file for path in paths for file in _files(Path(path).expanduser(), option)]:
        opened = gzip.open if file.suffix == ".gz" else open
        try:
            with opened(file, "rt", encoding="utf-8-sig") as lines:
                yield from filter(None, map(str.strip, lines))
        except UnicodeDecodeError as error:
            raise InputError(f"{option}: {file} is not UTF-8 ({error.reason}); save it as UTF-8.") from error
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{option}: {file} cannot be read ({error}); name text files or folders.") from error


def _files(path: Path, option: str) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{option}: there is no {path}; name a text file or a folder of them.")
    files = sorted(file for file in path.iterdir() if file.name.endswith(ENDINGS) and file.is_file())
    if not files:
        raise InputError(f"{option}: {path} holds no file that ends in {' or '.join(ENDINGS)}; name another folder.")
    return files
