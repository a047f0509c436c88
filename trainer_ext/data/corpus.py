"""Read texts from plain files, one per line, and hold out a part of them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .records import decode, lines_of

SUFFIXES = (".txt", ".txt.gz")
CHUNK, MAX_RATIO = 2**24, 200  # bytes read at once; packed texts have a third to a tenth of their size
HELD_OUT = 10  # every tenth text is held out


def read_corpus(paths: Sequence[str | Path]) -> list[str]:
    """Return the texts of `.txt` and `.txt.gz` files, one per line, without empty lines.

    Args:
        paths: files, or folders with such files.

    Raises:
        InputError: A path does not exist, is another file or a folder without such files, or there is no text.
    """
    files = [file for path in paths for file in _files(Path(path).expanduser())]
    texts = [line.strip() for file in files for line in lines_of(_read(file)) if line.strip()]
    if not texts:
        raise InputError(f"{', '.join(map(str, paths))} is empty; it needs texts, one per line.")
    return texts


def hold_out(texts: Sequence[str], *, advice: str = "") -> tuple[list[str], list[str]]:
    """Split off every tenth text that does not occur among the others.

    Args:
        texts: all texts.
        advice: what else the user can do if there are too few.

    Returns:
        The texts to learn from and the held-out texts.

    Raises:
        InputError: There are too few different texts.
    """
    chosen = [text for number, text in enumerate(texts, start=1) if number % HELD_OUT]
    known = set(chosen)
    held_out = [text for text in texts[HELD_OUT - 1 :: HELD_OUT] if text not in known]
    if not held_out:
        raise InputError(
            f"The corpus of {len(texts)} texts leaves none to hold out; give at least {HELD_OUT} different ones{advice}."
        )
    return chosen, held_out


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(
            f"There is no file or folder {path}; name a file or a folder of {' and '.join(SUFFIXES)} files."
        )
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in files if file.name.endswith(SUFFIXES)]
    if not files:
        raise InputError(
            f"{path} is or holds no {' or '.join(SUFFIXES)} file; write one text per line to such a file."
        )
    return files


def _read(file: Path) -> str:
    try:
        data = file.read_bytes()
        return decode(_unpacked(file, len(data)) if file.suffix == ".gz" else data, file)
    except OSError as error:  # also what gzip raises
        raise InputError(f"Cannot read {file}: {error.strerror or error}; check the file.") from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{file} is truncated or damaged ({error}); compress it again.") from error


def _unpacked(file: Path, packed: int) -> bytes:
    """Return the content of a .gz file; stop at a size that no text has."""
    parts, size = [], 0
    with gzip.open(file) as opened:
        while part := opened.read(CHUNK):
            parts.append(part)
            size += len(part)
            if size > max(CHUNK, MAX_RATIO * packed):
                raise InputError(
                    f"{file} unpacks to more than {MAX_RATIO} times its size, so it is not text; give the texts uncompressed."
                )
    return b"".join(parts)
