"""Table of the endurance run.

python -m recipes.benchmarks.endurance_table runs/endurance/endurance.json    # keep this run, and rewrite README.md
python -m recipes.benchmarks.endurance_table                                  # rewrite README.md from the kept run
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from recipes.benchmarks.growth import UNITS
from recipes.tools.markdown import replace_part, table
from trainer_ext.utils.files import write_json, write_text

README = Path(__file__).with_name("README.md")
NAME = "endurance"
FILE = README.with_name("results") / f"{NAME}.json"
ARMS = ("training", "serving")


def kept(record: dict[str, Any], finished: datetime) -> dict[str, Any]:
    """Return the part of a record to keep: all but the samples and error messages, with the day on which it ended."""
    found = {arm: record[arm] for arm in ARMS if arm in record}
    arms = {arm: {"did": counts(one["did"]), "growth": one["growth"]} for arm, one in found.items()}
    return {"machine": record["machine"], "date": finished.date().isoformat(), **arms}


def counts(did: dict[str, Any]) -> dict[str, int]:
    """Return the counts of what an arm did."""
    return {name: value for name, value in did.items() if isinstance(value, int)}


def summary(record: dict[str, Any]) -> str:
    """Return a table with a row for each arm and quantity, and what each arm did on which machine."""
    rows = [["", "held", "start", "end", "most", "gained per hour", "95 % interval", "bound", ""]]
    arms = {arm: record[arm] for arm in ARMS if arm in record}
    for arm, found in arms.items():
        for name, seen in found["growth"].items():
            values = [f"{seen[moment]:,.0f}" for moment in ("start", "end", "most")]
            interval = f"{seen['low']:+,.1f} to {seen['high']:+,.1f}"
            gained = f"{seen['per_hour']:+,.1f}"
            rows.append([arm, UNITS[name], *values, gained, interval, f"{seen['bound']:g}", seen["verdict"]])
    did = [f"{arm}: {_listed(found['did'])}" for arm, found in arms.items()]
    return f"{table(rows[0], rows[1:])}\n\n{'; '.join(did)}; {record['machine']}; {record['date']}\n"


def _listed(did: dict[str, int]) -> str:
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in did.items())


def main(file: Annotated[Path | None, typer.Argument(help="The endurance.json of a run, to be kept.")] = None) -> None:
    """Keep a run, if one is given, and rewrite the table in README.md."""
    if file:
        finished = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        write_json(FILE, kept(json.loads(file.read_text(encoding="utf-8")), finished))
    record = json.loads(FILE.read_text(encoding="utf-8"))
    write_text(README, replace_part(README.read_text(encoding="utf-8"), NAME, summary(record)))


if __name__ == "__main__":
    typer.run(main)
