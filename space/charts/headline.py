"""The first card of the page: from the baseline to the file that one would deploy, in one glance."""

from __future__ import annotations

from functools import partial
from html import escape

from core import captions
from core.captions import model_name
from core.deployed import Deployed, Headline, cores
from core.models import Pair

from charts.markup import note
from trainer_ext.report.formatting import agreement, interval, is_fraction, metric_title, number, score
from trainer_ext.report.schema import Quality, Scores

WORDS = {
    "en": {
        "title": "From {before} to {after}",
        "size": "size on disk",
        "time": "a text of {tokens} tokens",
        "smaller": "{ratio:.1f}x smaller",
        "faster": "{ratio:.1f}x as fast",
        "points": "{change} points",
        "unmeasured": "not measured",
        "whole": "The size of the baseline is that with all {tokens:,} tokens; it was trained with the kept ones.",
        "rows": "{rows:,} rows of {split}; in brackets the 95 % interval.",
        "where": "Timed here when the page started: {processor}, threads: {threads}, load {load} on {cores} cores.",
        "unknown": "unknown",
        "busy": "busy machine: other programs disturbed the timing, so that the times are too long and uncertain.",
        "none": "There is no exported file yet, which is smaller and faster still. Make one, and open the page again: {command}",
    },
    "mr": {
        "title": "{before} पासून {after} पर्यंत",
        "size": "फाइलचा आकार",
        "time": "{tokens} टोकनचा एक मजकूर",
        "smaller": "{ratio:.1f} पट लहान",
        "faster": "{ratio:.1f} पट वेग",
        "points": "{change} टक्के बिंदू",
        "unmeasured": "मोजलेले नाही",
        "whole": "मूळ मॉडेलचा आकार सर्व {tokens:,} टोकनसह दिला आहे; त्याचे प्रशिक्षण ठेवलेल्या टोकनवर झाले.",
        "rows": "{split} मधील {rows:,} मजकूर; कंसात 95 % अंतराल.",
        "where": "पान सुरू होताना याच यंत्रावर मोजलेले: {processor}, थ्रेड: {threads}, {cores} कोअरवर भार {load}.",
        "unknown": "माहीत नाही",
        "busy": "यंत्र व्यस्त होते: इतर प्रोग्राममुळे वेळा जास्त आणि अनिश्चित आहेत.",
        "none": "अजून निर्यात केलेली फाइल नाही; ती आणखी लहान आणि वेगवान असते. ती बनवा आणि पान पुन्हा उघडा: {command}",
    },
}
say = partial(captions.say, WORDS)


def headline(pair: Pair, best: Deployed | None, measured: Headline, language: str) -> str:
    """Show size, time and score of the baseline and of what one would deploy.

    Args:
        pair: The models.
        best: The exported file that one would deploy; None without one, when the compressed model stands in its place.
        measured: The times.
        language: "en" or "mr".
    """
    name = "compressed" if best is None else best.name
    shown = model_name(language, "compressed") if best is None else escape(best.name)
    before, after = measured.milliseconds["baseline"], measured.milliseconds[name]
    size_before = pair.whole.megabytes if pair.whole else pair.baseline.megabytes
    size_after = pair.compressed.megabytes if best is None else best.bytes / 1e6
    ratio = partial(say, language)
    cards = [
        (
            say(language, "size"),
            ratio("smaller", ratio=size_before / max(size_after, 1e-9)),
            (f"{size_before:.1f} MB", f"{size_after:.1f} MB"),
        ),
        (
            say(language, "time", tokens=measured.tokens),
            ratio("faster", ratio=before / after),
            (f"{before:.1f} ms", f"{after:.1f} ms"),
        ),
    ]
    quality = pair.report.quality if pair.report is not None else None
    if quality is not None:
        cards.append(_quality_card(quality, best, language))
    html = "".join(_card(title, change, values, shown, language) for title, change, values in cards)
    title = say(language, "title", before=model_name(language, "baseline"), after=shown)
    load = say(language, "unknown") if measured.load is None else f"{measured.load:.1f}"
    lines = [
        say(
            language,
            "where",
            processor=escape(measured.processor),
            threads=measured.threads,
            load=load,
            cores=cores(),
        )
    ]
    if pair.whole:
        lines.insert(0, say(language, "whole", tokens=pair.whole.tokens))
    if quality is not None:
        lines.insert(0, say(language, "rows", rows=quality.rows, split=escape(quality.split)))
    if measured.busy:
        lines.append(f"<strong>{say(language, 'busy')}</strong>")
    if best is None:
        command = "<code>trainer-ext export RUN --format openvino-int8</code>"
        lines.append(say(language, "none", command=command))
    return f"<h2>{title}</h2><dl class='cards'>{html}</dl>{note(' '.join(lines))}"


def _quality_card(quality: Quality, best: Deployed | None, language: str) -> tuple[str, str, tuple[str, str]]:
    """Return title, change and both values of the main metric; without labels, the share of equal answers.

    The change of an export has no interval where the report is of a version that compared it with the compressed model only.
    """
    unknown = say(language, "unmeasured")
    if quality.metric == "agreement":
        return metric_title("agreement"), agreement(quality) or unknown, ("", agreement(quality) or unknown)
    name, checked = quality.metric, best.checked if best is not None else None
    after: Scores | None = quality.compressed if best is None else (checked.quality if checked is not None else None)
    found = quality.difference if best is None else (checked.from_baseline if checked is not None else None)
    if best is None or found is not None:
        main, bounds = (found.main, found.ci95) if found else (None, None)
    else:
        both = [side.by_name.get(name) if side is not None else None for side in (quality.baseline, after)]
        main, bounds = (both[1] - both[0] if both[0] is not None and both[1] is not None else None), None
    change = unknown
    if main is not None:
        change = number(name, main, "+z")
        change = say(language, "points", change=change) if is_fraction(name) else change
        change += f" <small>{interval(name, bounds, '+z')}</small>" if bounds else ""
    values = [score(side, name) or unknown if side is not None else unknown for side in (quality.baseline, after)]
    return metric_title(name), change, (values[0], values[1])


def _card(title: str, change: str, values: tuple[str, str], after: str, language: str) -> str:
    names = ((model_name(language, "baseline"), "baseline"), (after, "compressed"))
    rows = "".join(
        f"<dd class='{kind}'>{name} <b>{escape(value)}</b></dd>"
        for (name, kind), value in zip(names, values, strict=True)
        if value
    )
    return f"<div><dt>{escape(title)}</dt><dd class='change'>{change}</dd>{rows}</div>"
