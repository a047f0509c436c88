"""Speed: what the tab "Speed and size" shows of the page's models, or of those of a point of the sweep, as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from anatomy import anatomy
from anatomy_chart import anatomy_chart
from calculator import check_day
from captions import Refused
from charts import refusal
from cost_table import cost_table
from models import Pair, open_pair
from names import choose
from pareto import pareto
from race import Race, race
from race_chart import race_chart
from sweep import find_sweep, read_sweep

from trainer_ext import InputError

OWN = -1  # the choice of the page's own models; the others are places in the sweep
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
    """The two models of a run; the last ones stay open."""
    return open_pair(choose([str(folder)], beside=folder))


def shown(name: str) -> str:
    """What a visitor is told of where a model lies: of a folder its last two parts, which tell run and role."""
    return "/".join(Path(name).resolve().parts[-2:]) if Path(name).is_dir() else name


class Speed:
    """A page's models and the sweep that belongs to them.

    Attributes:
        pair: the page's own models.
        points: of the sweep; none where there is no sweep, or it cannot be read.
        problem: why it cannot be read.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair, self.points, self.problem = pair, [], None
        file = find_sweep(pair.compressed.name)
        try:
            self.points = read_sweep(file) if file is not None else []
        except InputError as error:
            self.problem = Refused(WORDS, "unread", error=error)

    @property
    def choices(self) -> list[tuple[str, int]]:
        """Name and place of all models that can be shown."""
        kept = [(point.name, place) for place, point in enumerate(self.points) if point.folder]
        return [(shown(self.pair.compressed.name), OWN), *kept]

    def chosen(self, place: int) -> Pair:
        """The models of this choice.

        Raises:
            Refused: they cannot be opened.
        """
        try:
            return self.pair if place == OWN else open_run(self.points[place].folder)
        except InputError as error:
            raise Refused(WORDS, "unopened", error=error) from error

    def clicked(self, place: object) -> int:
        """The choice that a click means; what is no choice means the page's own models."""
        return next((choice for _, choice in self.choices if choice == place), OWN)

    def run(self, place: int, batch_size: int, length: int, language: str) -> Iterator[tuple[str, Race | None]]:
        """The race as it goes on, or why there is none."""
        try:
            for found in race(self.chosen(place), batch_size, length):
                yield race_chart(found, language), found
        except Refused as refused:
            yield refusal(refused, language), None

    def draw(self, place: int, language: str) -> tuple[str, str]:
        """The sweep, and where the parameters went."""
        sweep = refusal(self.problem, language) if self.problem else ""
        if self.points:
            sweep = pareto(self.points, language, place)
        try:
            return sweep, anatomy_chart(anatomy(self.chosen(place)), language)
        except Refused as refused:
            return sweep, refusal(refused, language)

    def load(self, place: int, language: str) -> tuple[str, str, str, None]:
        """Other models: what :meth:`draw` gives, and no race yet."""
        return *self.draw(place, language), race_chart(None, language), None

    def calculate(self, place: int, texts: float | None, grid: float | None, language: str) -> str:
        """What a day costs, or why it cannot be said."""
        try:
            check_day(texts, grid)
            return cost_table(self.chosen(place).report, texts, grid, language)
        except Refused as refused:
            return refusal(refused, language)

    @property
    def grid(self) -> float:
        """Grams of CO2 equivalent per kWh where the report's energy was measured; 0 where that is not known."""
        inference = self.pair.report.inference if self.pair.report is not None else None
        return (inference.grid_g_per_kwh if inference is not None else None) or 0.0
