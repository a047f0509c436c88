"""Corpus: texts of plain files, one per line, and a part of them held out."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .records import decode

SUFFIXES = (".txt", ".txt.gz")
CHUNK, MOST_TIMES = 2**24, 200  # bytes read at once; texts shrink to a third or a tenth
HELD_OUT = 10  # one text in so many is held out


def read_corpus(paths: Sequence[str | Path]) -> list[str]:
    """The texts of `.txt` and `.txt.gz` files, one per line, empty lines left out.

    Args:
        paths: files, or folders that hold such files.

    Raises:
        InputError: a path that does not exist or is no such file, a folder without one, or no text at all.
    """
    files = [file for path in paths for file in _files(Path(path).expanduser())]
    texts = [line.strip() for file in files for line in _read(file).splitlines() if line.strip()]
    if not texts:
        raise InputError(f"{', '.join(map(str, paths))} is empty; it needs texts, one per line.")
    return texts


def hold_out(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """The texts without every tenth, and every tenth that is not among them anyway.

    Raises:
        InputError: nothing is left to hold out.
    """
    chosen = [text for number, text in enumerate(texts, start=1) if number % HELD_OUT]
    known = set(chosen)
    held_out = [text for text in texts[HELD_OUT - 1 :: HELD_OUT] if text not in known]
    if not held_out:
        raise InputError(
            f"The corpus of {len(texts)} texts leaves none to measure by; give {HELD_OUT} different ones or more, or a "
            "file with --held-out."
        )
    return chosen, held_out


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(
            f"There is no file or folder {path}; name a file or a folder of {' and '.join(SUFFIXES)} files."
        )
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    found = [file for file in found if file.name.endswith(SUFFIXES)]
    if not found:
        raise InputError(
            f"{path} is or holds no {' or '.join(SUFFIXES)} file; write one text per line to such a file."
        )
    return found


def _read(file: Path) -> str:
    try:
        data = file.read_bytes()
        return decode(_unpacked(file, len(data)) if file.suffix == ".gz" else data, file)
    except OSError as error:  # what gzip raises is one too
        raise InputError(f"Cannot read {file}: {error.strerror or error}; check the file.") from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{file} is cut off or bent ({error}); pack it again.") from error


def _unpacked(file: Path, packed: int) -> bytes:
    """What a .gz file holds, read only as far as it can be a text."""
    parts, size = [], 0
    with gzip.open(file) as opened:
        while part := opened.read(CHUNK):
            parts.append(part)
            size += len(part)
            if size > max(CHUNK, MOST_TIMES * packed):
                raise InputError(
                    f"{file} unpacks to more than {MOST_TIMES} times its size, which no text does; give the texts themselves."
                )
    return b"".join(parts)
