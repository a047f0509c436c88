"""Measure how much longer `import trainer_ext` takes than `import transformers`, in new processes in turns.

Target: at most 0.3 s. Prediction: near 0, because every public name is loaded on first use. Outcome (2026-11-20, AMD EPYC
Zen 4, two cores): +0.05 s.
"""

import statistics
import subprocess
import sys
from typing import Annotated

import typer

TIMED = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
TARGET_S = 0.3


def seconds(modules: str) -> float:
    """Return the seconds that an import takes in a new interpreter.

    Args:
        modules: What to import, separated by commas.
    """
    done = subprocess.run([sys.executable, "-c", TIMED.format(modules)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(
    runs: Annotated[int, typer.Option(help="Timed pairs of processes, after a warm-up pair.")] = 9,
) -> None:
    """Print both medians, and the median difference of the pairs."""
    pairs = [(seconds("transformers"), seconds("transformers, trainer_ext")) for _ in range(runs + 1)][1:]
    alone, both = (statistics.median(values) for values in zip(*pairs, strict=True))
    extra = statistics.median(second - first for first, second in pairs)
    typer.echo(f"import transformers {alone:.2f} s, with trainer_ext {both:.2f} s, extra {extra:+.3f} s (n={runs})")
    typer.echo(f"target: at most +{TARGET_S} s: {'met' if extra <= TARGET_S else 'MISSED'}")


if __name__ == "__main__":
    typer.run(main)
