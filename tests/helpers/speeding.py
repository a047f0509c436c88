"""What the tests of the tab "Speed and size" share: a report of nothing but its parts, and the lines of a sweep."""

from tests.helpers.paging import LABELS
from trainer_ext.report.schema import CompressionReport, Inference, Model, Pair

HEADER = "name,accuracy,accuracy_low,accuracy_high,speedup,megabytes,folder\n"
ROW = "half,0.9,0.88,0.92,1.7,24.8,run\n"
INFERENCE = Inference(energy_kwh_per_1000=Pair(6e-4, 4e-4), range_kwh_per_1000=Pair((5e-4, 7e-4), (3e-4, 4.5e-4)))


def report(**parts) -> CompressionReport:
    """A report with these parts."""
    return CompressionReport(created="2026-01-01T00:00:00+00:00", model=Model(labels=list(LABELS)), **parts)
