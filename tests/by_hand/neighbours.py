"""Which releases does pip's resolver take of packages that people install beside ours? `make neighbours`

For each, the newest release that resolves beside `trainer-ext[export]` is compared with the newest that there is. A resolver
that cannot have both goes back to an old release in silence. Exit status 1 if one that should be the newest is not. It needs
uv and a package index, installs nothing, and otherwise only the standard library.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# By name, whether the newest release works beside ours; docs/limits.md says what to do where not.
NEIGHBOURS = {
    "fastembed": True,
    "model2vec": True,
    "model2vec[distill]": False,
    "optimum-intel[openvino]": False,
    "optimum-onnx": False,
    "peft": True,
    "sentence-transformers": True,
    "setfit": True,
    "trl": True,
}


def resolved(uv: str, name: str, *beside: str) -> str | None:
    """Return the release of a package that is taken beside others; None if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "asked.in")
        asked.write_text("\n".join([name, *beside]), encoding="utf-8")
        done = subprocess.run(
            [uv, "pip", "compile", "--quiet", "--no-header", str(asked)], capture_output=True, text=True
        )
    found = re.search(rf"^{re.escape(name.partition('[')[0])}==(\S+)", done.stdout, re.MULTILINE)
    return found[1] if done.returncode == 0 and found else None


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the command (%(default)s)")
    uv = parser.parse_args(words).uv
    wrong = []
    print(f"{'package':26}{'newest':>10}{'beside':>10}")
    for name, works in NEIGHBOURS.items():
        newest, beside = resolved(uv, name), resolved(uv, name, f"trainer-ext[export] @ {ROOT.as_uri()}")
        print(f"{name:26}{newest or 'none':>10}{beside or 'none':>10}", flush=True)
        if newest is None or (newest == beside) != works:
            wrong.append(name)
    if wrong:
        print(f"not as expected: {', '.join(wrong)}; correct NEIGHBOURS and docs/limits.md", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
