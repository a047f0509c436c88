"""Content of the tab "Speed and size", without Gradio: HTML for the page's models or those of a point of the sweep."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from charts.anatomy import anatomy_chart
from charts.cost import cost_table
from charts.markup import refusal
from charts.pareto import pareto
from charts.race import race_chart
from core.anatomy import anatomy
from core.captions import Refused
from core.cost import check_day
from core.deployed import with_exports
from core.models import Pair, open_pair
from core.race import Race, race
from core.startup import choose
from core.sweep import Point, find_sweep, read_sweep

from trainer_ext import InputError

OWN = -1  # choice of the page's own models; other choices are indices of points in the sweep
WORDS = {
    "en": {
        "unopened": "These models cannot be shown. {error}",
        "unread": "The other sizes cannot be shown. {error}",
    },
    "mr": {
        "unopened": "ही मॉडेल दाखवता येत नाहीत. {error}",
        "unread": "इतर आकार दाखवता येत नाहीत. {error}",
    },
}


@lru_cache(maxsize=2)
def open_run(folder: Path) -> Pair:
    """Load the two models of a run; the last two pairs stay in memory."""
    return with_exports(open_pair(choose([str(folder)], beside=folder)))


def shown(name: str) -> str:
    """Return the name of a model for visitors: its Hub id, or the last two parts of its folder."""
    return "/".join(Path(name).resolve().parts[-2:]) if Path(name).is_dir() else name


class SpeedView:
    """The page's models and their sweep; language arguments are "en" or "mr", choices are `OWN` or an index.

    Attributes:
        pair: The page's own models.
        points: The points of the sweep; empty if there is no sweep or it cannot be read.
        problem: Why it cannot be read, or None.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.points: list[Point] = []
        self.problem: Refused | None = None
        file = find_sweep(pair.compressed.name)
        try:
            self.points = read_sweep(file) if file is not None else []
        except InputError as error:
            self.problem = Refused(WORDS, "unread", error=error)

    @property
    def choices(self) -> list[tuple[str, int]]:
        """Name and choice of all models that can be shown."""
        kept = [(point.name, index) for index, point in enumerate(self.points) if point.folder]
        return [(shown(self.pair.compressed.name), OWN), *kept]

    def chosen(self, choice: int) -> Pair:
        """Return the models of a choice.

        Raises:
            Refused: They cannot be loaded.
        """
        folder = None if choice == OWN else self.points[choice].folder
        try:
            return self.pair if folder is None else open_run(folder)
        except InputError as error:
            raise Refused(WORDS, "unopened", error=error) from error

    def clicked(self, choice: object) -> int:
        """Return the choice of a click, or `OWN` if the value is not a choice."""
        return next((known for _, known in self.choices if known == choice), OWN)

    def run(self, choice: int, batch_size: int, length: int, language: str) -> Iterator[tuple[str, Race | None]]:
        """Run a race, and yield its chart and its times after each step; or the reason why it cannot run."""
        try:
            for found in race(self.chosen(choice), batch_size, length):
                yield race_chart(found, language), found
        except Refused as refused:
            yield refusal(refused, language), None

    def draw(self, choice: int, language: str) -> tuple[str, str]:
        """Show the sweep and the parameters of the chosen models."""
        sweep = refusal(self.problem, language) if self.problem else ""
        if self.points:
            sweep = pareto(self.points, language, choice)
        try:
            return sweep, anatomy_chart(anatomy(self.chosen(choice)), language)
        except Refused as refused:
            return sweep, refusal(refused, language)

    def load(self, choice: int, language: str) -> tuple[str, str, str, None]:
        """Show other models: as :meth:`draw`, and an empty race."""
        return *self.draw(choice, language), race_chart(None, language), None

    def calculate(self, choice: int, texts: float | None, grid: float | None, language: str) -> str:
        """Show what a day costs, or what is wrong with the inputs."""
        try:
            return cost_table(self.chosen(choice).report, check_day(texts, grid), grid, language)
        except Refused as refused:
            return refusal(refused, language)

    @property
    def grid(self) -> float:
        """Grams of CO2 equivalent per kWh at the choice of the measurement; 0 if not known."""
        inference = self.pair.report.inference if self.pair.report is not None else None
        return (inference.grid_g_per_kwh if inference is not None else None) or 0.0
