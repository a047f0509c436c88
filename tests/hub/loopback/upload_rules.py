"""Rules of an upload: which files go to large-file storage, and which are ignored.

A file is large above 10 MB, by its ending as in the `.gitattributes` that the Hub gives every new repository, or if
its beginning has a zero byte (git's own sign of a binary file).
"""

import re
from fnmatch import fnmatchcase

LARGEST_REGULAR = 10 * 1000 * 1000  # bytes
LARGE_ENDINGS = (
    "7z arrow bin bz2 ckpt ftz gz h5 joblib lfs.* mlmodel model msgpack npy npz onnx ot parquet pb pickle pkl pt pth "
    "rar safetensors tar tflite tgz wasm xz zip zst"
).split()
GIT_ATTRIBUTES = "".join(f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LARGE_ENDINGS)
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Return whether a file goes to large-file storage.

    Args:
        path: in the repository.
        size: bytes.
        sample: how the file begins (the client sends 512 bytes).
    """
    by_name = any(fnmatchcase(path, f"*.{ending}") for ending in LARGE_ENDINGS)
    return by_name or size > LARGEST_REGULAR or b"\0" in sample


def is_ignored(path: str, gitignore: str) -> bool:
    """Return whether a `.gitignore` excludes this file; the last matching line decides, and `!` includes it again.

    Stars, `?`, anchors and folders are supported, character classes are not.
    """
    ignored = False
    for line in gitignore.splitlines():
        rule = line.rstrip().removeprefix("!")
        if not rule or line.startswith("#"):
            continue
        glob = ("" if "/" in rule.rstrip("/") else "**/") + rule.strip("/")
        itself = not rule.endswith("/") and _pattern(glob).fullmatch(path)
        if itself or _pattern(f"{glob}/**").fullmatch(path):
            ignored = not line.startswith("!")
    return ignored


def _pattern(glob: str) -> re.Pattern:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(_WILD.get(part, re.escape(part)) for part in parts))
