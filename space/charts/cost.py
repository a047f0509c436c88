"""Show what a day costs with each model, and how those numbers were obtained."""

from __future__ import annotations

from functools import partial
from html import escape

from core import captions
from core.captions import model_name
from core.cost import Cost, costs, measured_row, paid_back

from charts.markup import note, table
from trainer_ext.report.schema import CompressionReport

WORDS = {
    "en": {
        "day": "a day",
        "saved": "saved",
        "cpu": "CPU-hours",
        "device": "accelerator-hours",
        "unknown": "unknown",
        "nothing": "Nothing was measured: there is no report with the compressed model.",
        "rests": "Time: {batch} x {length} tokens per call, {processor}.",
        "threads": "Threads: {threads}; each counts as one CPU.",
        "no_energy": "Energy was not measured, so only processor time is computed. To measure it: trainer-ext energy RUN",
        "energy": "Energy: {hardware}.",
        "estimated": "Energy: {hardware}; estimated, because the processor has no energy counter.",
        "no_grid": "To get grams of CO2e, enter the intensity of the grid.",
        "after": "The energy of the compression has been saved after {texts} texts, in {days} days.",
        "unmeasured": "Break-even: unknown, because the energy of training or prediction was not measured.",
        "noise": "Break-even: unknown, because the saving per prediction is within noise.",
        "never": "Break-even: never, because a prediction needs no less energy than before.",
    },
    "mr": {
        "day": "एक दिवस",
        "saved": "बचत",
        "cpu": "CPU-तास",
        "device": "अ‍ॅक्सिलरेटर-तास",
        "unknown": "माहीत नाही",
        "nothing": "काहीही मोजलेले नाही: लहान मॉडेलसोबत अहवाल नाही.",
        "rests": "वेळ: प्रत्येक वेळी {batch} x {length} टोकन, {processor}.",
        "threads": "थ्रेड: {threads}; प्रत्येक थ्रेड एक CPU धरला आहे.",
        "no_energy": "ऊर्जा मोजलेली नाही, म्हणून फक्त प्रोसेसरचा वेळ काढला आहे. मोजण्यासाठी: trainer-ext energy RUN",
        "energy": "ऊर्जा: {hardware}.",
        "estimated": "ऊर्जा: {hardware}; प्रोसेसरमध्ये मापक नाही, म्हणून हा अंदाज आहे.",
        "no_grid": "CO2e चे ग्रॅम काढण्यासाठी विजेची कार्बन तीव्रता द्या.",
        "after": "मॉडेल लहान करण्यासाठी लागलेली ऊर्जा {texts} मजकुरांनंतर, म्हणजे अशा {days} दिवसांत भरून निघते.",
        "unmeasured": "भरपाई: माहीत नाही; प्रशिक्षणाची किंवा उत्तरांची ऊर्जा मोजलेली नाही.",
        "noise": "भरपाई: माहीत नाही; उत्तरांमधील बचत मोजणीच्या चढउताराइतकीच आहे.",
        "never": "भरपाई: कधीच नाही; एका उत्तराला पूर्वीपेक्षा कमी ऊर्जा लागत नाही.",
    },
}
say = partial(captions.say, WORDS)


def cost_table(report: CompressionReport | None, texts: float, grid: float | None, language: str) -> str:
    """Show the table and its notes.

    Args:
        report: The report of the run, if there is one.
        texts: Number of texts per day, checked by :func:`core.cost.check_day`.
        grid: Grams of CO2 equivalent per kilowatt-hour; None or 0 if not known.
        language: Language of the captions.
    """
    row = measured_row(report)
    if report is None or (row is None and report.inference is None):
        return f"<p class='verdict refused'>{say(language, 'nothing')}</p>"
    by_model = costs(report, texts, grid)
    device = "cpu" if row is None or row.device == "cpu" else "device"
    names = {"hours": say(language, device), "kwh": "kWh", "grams": "g CO2e"}
    rows = "".join(_row(name, field, by_model, language) for field, name in names.items())
    models = (model_name(language, name) for name in by_model)
    columns = (say(language, "day"), *models, say(language, "saved"))
    return table("numbers", columns, rows) + "".join(map(note, _notes(report, texts, grid, language)))


def amount(value: float) -> str:
    """Format an amount with three digits, or without decimals from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _row(name: str, field: str, by_model: dict[str, Cost], language: str) -> str:
    """Return a table row: a cost with each model, and the difference."""
    before, after = (getattr(cost, field) for cost in by_model.values())
    unknown = say(language, "unknown")
    saved = "" if before is None or after is None else amount(before - after)
    cells = [unknown if value is None else amount(value) for value in (before, after)]
    return f"<tr><th scope='row'>{name}</th>" + "".join(f"<td>{cell}</td>" for cell in (*cells, saved)) + "</tr>"


def _notes(report: CompressionReport, texts: float, grid: float | None, language: str) -> list[str]:
    """Say how the numbers were measured, what is missing, and when the compression pays for itself."""
    notes, row, inference = [], measured_row(report), report.inference
    if row is not None:
        rests = {"batch": row.batch_size, "length": row.sequence_length, "processor": escape(row.processor)}
        notes.append(say(language, "rests", **rests))
        if row.threads is not None:
            notes[-1] += " " + say(language, "threads", threads=row.threads)
    if inference is None or inference.energy_kwh_per_1000 is None:
        return [*notes, say(language, "no_energy")]
    kind = "estimated" if inference.estimated else "energy"
    machine = inference.hardware or (row.processor if row else "—")
    notes.append(say(language, kind, hardware=escape(machine)))
    if not grid:
        notes.append(say(language, "no_grid"))
    reason, after = paid_back(report)
    return [*notes, say(language, reason, texts=amount(float(f"{after:.2g}")), days=amount(after / texts))]
