"""List the licences of all packages that this package needs, directly or indirectly.

`python -m recipes.tools.licences` writes docs/licences.md from the installed packages, and exits with status 1 if a licence
is not on the list below. Licences come from the metadata: the SPDX expression, else the classifiers, else the first line
of the licence field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import typer
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE = Path(__file__).parents[2] / "docs/licences.md"
EXTRAS = ("demo", "docs", "emissions", "export", "plot", "space", "sweep", "dev")

PERMISSIVE = {
    *(
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "CNRI-Python",
        "ISC",
        "MIT",
        "MIT-0",
    ),
    *("MIT-CMU", "PSF-2.0", "Unlicense", "Zlib", "LLVM-exception"),
}
# Copyleft for their own files only; using them does not affect ours.
OF_THEIR_FILES = {"LGPL-2.1-only", "MPL-2.0"}
ALLOWED = PERMISSIVE | OF_THEIR_FILES
# Packages of a CUDA build of torch, under NVIDIA's own terms; a CPU build has none.
ACCELERATOR = re.compile(r"nvidia-(?!ml-py)|cuda-|triton$")

# Names of licences in packages that do not use SPDX, in lower case.
SPELLED = {
    "apache software license": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache": "Apache-2.0",
    "apache license v2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "gnu lesser general public license v2 (lgplv2)": "LGPL-2.1-only",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
UNNAMED = "not given"


@dataclass(frozen=True)
class Package:
    """One package.

    Attributes:
        name: Its name in pip.
        version: The installed version.
        licence: An SPDX expression, or the text of the package.
        needed_by: `required`, or the first extra that needs it.
    """

    name: str
    version: str
    licence: str
    needed_by: str


def licence_of(metadata) -> str:
    """Return the licence in the metadata of a package, as SPDX if known."""
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [line.split(" :: ") for line in metadata.get_all("Classifier") or ()]
    named = {parts[-1] for parts in classifiers if parts[0] == "License" and len(parts) > 2}
    if not named:
        named = set(filter(None, [(metadata.get("License") or "").strip().split("\n")[0]]))
    return " AND ".join(sorted({SPELLED.get(name.lower(), name) for name in named})) or UNNAMED


def refused(licence: str) -> list[str]:
    """Return the licences of an expression that are not allowed; of `A OR B` only one must be allowed."""
    plain = licence.replace("(", "").replace(")", "")
    if " OR " in plain and " AND " not in plain:
        parts = [refused(part) for part in plain.split(" OR ")]
        return [] if [] in parts else parts[0]
    return [part for part in re.split(r" AND | OR | WITH ", plain) if part not in ALLOWED]


def needs(name: str, extras: Iterable[str] = ()) -> list[Requirement]:
    """Return what an installed package requires on this machine, with some of its extras."""
    lines = map(Requirement, distribution(name).requires or ())
    environments = [{**default_environment(), "extra": extra} for extra in ("", *extras)]
    return [line for line in lines if line.marker is None or any(map(line.marker.evaluate, environments))]


def closure(name: str, extras: Iterable[str] = ()) -> set[str]:
    """Return the names of all installed packages that a package requires, directly or indirectly."""
    waiting, seen = [(name, tuple(extras))], set()
    while waiting:
        if (each := waiting.pop()) in seen:
            continue
        try:
            waiting += [(canonicalize_name(line.name), tuple(sorted(line.extras))) for line in needs(*each)]
        except PackageNotFoundError:  # an extra that is not installed
            continue
        seen.add(each)
    return {package for package, _ in seen} - {name}


def packages() -> list[Package]:
    """Return all required packages, sorted by name."""
    needed_by: dict[str, str] = {}
    for extra in (None, *EXTRAS):
        for name in closure("trainer-ext", [extra] if extra else []):
            needed_by.setdefault(name, extra or "required")
    found = []
    for name, extra in sorted(needed_by.items()):
        metadata = distribution(name).metadata
        found.append(Package(name, metadata["Version"], licence_of(metadata), extra))
    return found


def not_allowed(found: Iterable[Package]) -> list[str]:
    """Return a line for each package whose licence is not allowed."""
    return [
        f"{package.name} {package.version} ({package.needed_by}): {', '.join(bad)}"
        for package in found
        if not ACCELERATOR.match(package.name) and (bad := refused(package.licence))
    ]


def render(found: Iterable[Package]) -> str:
    """Return the page docs/licences.md."""
    rows = [package for package in found if not ACCELERATOR.match(package.name)]
    lines = [
        "# Licences of what this package needs",
        "",
        "Written by `make licences` from the environment that `constraints.txt` describes. *Required* is what `pip install`",
        "brings, directly or through others; the rest comes with the extra that is named first. A CUDA build of torch also",
        "brings packages under NVIDIA's own terms (`nvidia-*`, `cuda-*`) and `triton` (MIT).",
        "",
        f"Allowed are {', '.join(sorted(PERMISSIVE - {'LLVM-exception'}))}, and for unchanged packages beside ours",
        f"{' and '.join(sorted(OF_THEIR_FILES))}. A test refuses any other.",
        "",
        "| package | version | licence | needed by |",
        "|---|---|---|---|",
        *(f"| {row.name} | {row.version} | {row.licence} | {row.needed_by} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write docs/licences.md; exit with status 1 if a licence is not allowed."""
    found = packages()
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(render(found), encoding="utf-8")
    bad = not_allowed(found)
    for line in bad:
        typer.echo(f"not allowed: {line}", err=True)
    typer.echo(f"{len(found)} packages in {FILE.name}")
    raise typer.Exit(1 if bad else 0)


if __name__ == "__main__":
    typer.run(main)
