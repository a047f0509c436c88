"""Show the comparison of one text: verdict, bars, cards, the influence of words, the report, and code to copy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path

from core import captions
from core.captions import model_name, shared
from core.compare import Comparison, Influence, largest_gap
from core.kinds import MULTI_LABEL
from core.models import Pair
from core.spans import SpanComparison
from huggingface_hub import constants

from charts import exports
from charts.exports import Exported, exports_table
from charts.markup import note, table
from trainer_ext.report.formatting import metric_title, number, percent
from trainer_ext.report.schema import CompressionReport
from trainer_ext.tasks.postprocess import THRESHOLD

# Rows of the bar chart; labels less likely than WORTH_A_ROW are left out.
MOST_ROWS, FEWEST_ROWS, WORTH_A_ROW = 12, 3, 0.005
WORDS = {
    "en": {
        "same": "Both say {label}.",
        "differ": "They differ: {before} before, {after} after compression.",
        "gap": "Largest gap: {points:+.1f} points for {label}.",
        "rest": "The other {count} labels are less likely.",
        "parameters": "parameters",
        "weights": "weights",
        "fast": "{ratio:.2f}x as fast",
        "whole": "Sizes of the baseline: with all {tokens:,} tokens.",
        "timed": "Times: medians of several calls on this machine; the models take turns.",
        "cut_baseline": "The baseline read only the first {tokens} tokens.",
        "cut_compressed": "The compressed model read only the first {tokens} tokens.",
        "influence": "Which words led to the answer",
        "influence_note": "Below each word: how many percentage points less likely the answer is without it.",
        "influence_cut": "Only the first {count} words.",
        "influence_pair": "Words of the first text; the second stays.",
        "threshold": "An answer is every label above {percent:g} %, the line in the bars, as in the run.",
        "report_quality": "{metric} on {rows:,} rows of {split}: {before} before, {after} after compression.",
        "report_agreement": "Same answer as before for {share} of {rows:,} {split}; there were no labels, so accuracy is not known.",
        "report_speed": "{ratio:.2f}x as fast at {batch} x {length} tokens ({processor}).",
        "report_busy": "(busy machine: other programs disturbed that timing.)",
        "report_card": "All numbers: the model's card",
        "answer": "answer",
        "export_gap": "largest gap",
        "export_note": "Gap: in points, to the compressed model.",
    },
    "mr": {
        "same": "दोन्ही मॉडेलचे उत्तर एकच: {label}.",
        "differ": "उत्तरे वेगळी आहेत: मूळ मॉडेल {before}, लहान मॉडेल {after}.",
        "gap": "सर्वांत मोठा फरक: {label}, {points:+.1f} टक्के बिंदू.",
        "rest": "उरलेल्या {count} वर्गांची शक्यता याहून कमी आहे.",
        "parameters": "पॅरामीटर",
        "weights": "मॉडेलचा आकार",
        "fast": "{ratio:.2f} पट वेग",
        "whole": "मूळ मॉडेलचे आकार: सर्व {tokens:,} टोकनसह.",
        "timed": "वेळ: याच यंत्रावर दोन्ही मॉडेल आळीपाळीने अनेकदा चालवून काढलेला मध्यक.",
        "cut_baseline": "मूळ मॉडेलने पहिले {tokens} टोकनच वाचले.",
        "cut_compressed": "लहान मॉडेलने पहिले {tokens} टोकनच वाचले.",
        "influence": "कोणत्या शब्दांमुळे हे उत्तर आले",
        "influence_note": "तो शब्द वगळल्यास उत्तराची शक्यता किती टक्के बिंदूंनी कमी होते.",
        "influence_cut": "फक्त पहिल्या {count} शब्दांसाठी.",
        "influence_pair": "पहिल्या मजकुरातील शब्द; दुसरा मजकूर तसाच राहतो.",
        "threshold": "{percent:g} % पेक्षा जास्त शक्यता असलेला प्रत्येक वर्ग हे उत्तर, पट्ट्यांमधील रेषा; मॉडेल बनवतानाही तेच.",
        "report_quality": "{split} मधील {rows:,} मजकुरांवर {metric}: मूळ मॉडेल {before}, लहान मॉडेल {after}.",
        "report_agreement": "{split}: {rows:,} मजकुरांपैकी {share} मजकुरांना दोन्ही मॉडेलचे उत्तर एकच. वर्ग दिलेले नव्हते, त्यामुळे अचूकता माहीत नाही.",
        "report_speed": "{batch} x {length} टोकनसाठी {ratio:.2f} पट वेग ({processor}).",
        "report_busy": "(यंत्र व्यस्त होते: इतर प्रोग्राममुळे ती मोजणी अनिश्चित आहे.)",
        "report_card": "सर्व आकडे: मॉडेलचे माहितीपत्रक",
        "answer": "उत्तर",
        "export_gap": "सर्वांत मोठा फरक",
        "export_note": "फरक: लहान मॉडेलपासून, टक्के बिंदूंत.",
    },
}
say = partial(captions.say, WORDS)


def verdict(comparison: Comparison, language: str) -> str:
    """Say in a sentence whether the models agree, and which label differs most."""
    before, after = (
        f"<strong>{escape(', '.join(answer.labels)) or shared(language, 'none')}</strong>"
        for answer in (comparison.baseline, comparison.compressed)
    )
    kind = "same" if comparison.same else "differ"
    answers = say(language, kind, label=before, before=before, after=after)
    gap = say(language, "gap", points=100 * comparison.gap, label=escape(comparison.gap_label))
    return f'<p class="verdict {kind}" role="status">{answers} <span>{gap}</span></p>'


def butterfly(comparison: Comparison, language: str, threshold: float | None = None) -> str:
    """Show paired bars for each label, the likeliest first: the baseline on the left, the compressed model on the right.

    It is a table, so that screen readers can read it. Labels that both models find unlikely are only counted.

    Args:
        comparison: The answers.
        language: Language of the captions.
        threshold: The probability above which a label is an answer, if there can be several; the bars show it.
    """
    before, after = comparison.baseline.probabilities, comparison.compressed.probabilities
    ranked = sorted(before, key=lambda label: -max(before[label], after[label]))
    worth = sum(max(before[label], after[label]) >= WORTH_A_ROW for label in ranked)
    shown = ranked[: min(MOST_ROWS, max(FEWEST_ROWS, worth))]
    rows = "".join(
        f"<tr>{_bar(before[label])}<th scope='row'>{escape(label)}</th>{_bar(after[label])}</tr>" for label in shown
    )
    rest = len(ranked) - len(shown)
    names = (model_name(language, "baseline"), shared(language, "label"), model_name(language, "compressed"))
    notes = [say(language, "rest", count=rest)] if rest else []
    notes += [say(language, "threshold", percent=100 * threshold)] if threshold else []
    kind = "butterfly" if threshold is None else "butterfly several"
    return table(kind, names, rows) + (note(" ".join(notes)) if notes else "")


def facts(comparison: Comparison | SpanComparison, pair: Pair, language: str) -> str:
    """Show the latency for this text, the parameters and the size of both models as cards."""
    answers = {"baseline": comparison.baseline, "compressed": comparison.compressed}
    before, after = (answer.milliseconds for answer in answers.values())
    fast = say(language, "fast", ratio=before / after)
    parameters, megabytes = pair.baseline.parameters, pair.baseline.megabytes
    if pair.whole:
        parameters, megabytes = pair.whole.parameters.total, pair.whole.megabytes
    cards = [
        _card(exports.say(language, "latency"), fast, [f"{before:.1f} ms", f"{after:.1f} ms"], language),
        *(
            _card(say(language, name), f"{100 * (new / old - 1):+.1f} %", [form(old), form(new)], language)
            for name, old, new, form in (
                ("parameters", parameters, pair.compressed.parameters, "{:,}".format),
                ("weights", megabytes, pair.compressed.megabytes, "{:.1f} MB".format),
            )
        ),
    ]
    cuts = [say(language, f"cut_{name}", tokens=answer.tokens) for name, answer in answers.items() if answer.cut]
    whole = [say(language, "whole", tokens=pair.whole.tokens)] if pair.whole else []
    notes = " ".join([*cuts, say(language, "timed"), *whole])
    return f"<dl class='cards'>{''.join(cards)}</dl>{note(notes)}"


def result(comparison: Comparison, pair: Pair, language: str) -> str:
    """Show verdict, bars, the answers of exported files, and cards of one text."""
    threshold = THRESHOLD if pair.baseline.problem_type == MULTI_LABEL else None
    shown = verdict(comparison, language) + butterfly(comparison, language, threshold) + exported(comparison, language)
    return shown + facts(comparison, pair, language)


def exported(comparison: Comparison, language: str) -> str:
    """Show what each exported file says, how far its probabilities are from the compressed model's, and its time."""
    rows = []
    for name, found in comparison.exports.items():
        label = found.labels or [shared(language, "none")]
        probability = f" {100 * found.probabilities[found.labels[0]]:.1f} %" if found.labels else ""
        gap_label, gap = largest_gap(comparison.compressed.probabilities, found.probabilities)
        same = sorted(found.labels) == sorted(comparison.compressed.labels)
        cells = (f"{100 * gap:+.1f} ({escape(gap_label)})",)
        rows.append(Exported(name, escape(", ".join(label)) + probability, same, found.milliseconds, cells))
    columns = [say(language, key) for key in ("answer", "export_gap")]
    return exports_table(rows, columns, say(language, "export_note"), comparison.baseline.milliseconds, language)


def _bar(probability: float) -> str:
    """Return a cell with a number and a bar of that width."""
    return f"<td><span><b>{100 * probability:.1f} %</b><i style='width:{100 * probability:.2f}%'></i></span></td>"


def _card(name: str, change: str, values: list[str], language: str) -> str:
    """Return a card: the change in large print, and both values below it."""
    rows = "".join(
        f"<dd class='{side}'>{model_name(language, side)} <b>{value}</b></dd>"
        for side, value in zip(("baseline", "compressed"), values, strict=True)
    )
    return f"<div><dt>{name}</dt><dd class='change'>{change}</dd>{rows}</div>"


def influence_chart(influences: dict[str, Influence], language: str, *, pairs: bool = False) -> str:
    """Show the words of a text for each model, shaded by how much each contributed to its answer.

    Args:
        influences: By model, "baseline" and "compressed".
        language: Language of the captions.
        pairs: Whether these are the words of the first of two texts.
    """
    lines = "".join(
        f"<dt>{model_name(language, name)}: <strong>{escape(one.label)}</strong></dt>"
        f"<dd class='{name}'>{''.join(map(_influence_word, one.words, one.shares))}</dd>"
        for name, one in influences.items()
    )
    cuts = {say(language, "influence_cut", count=len(one.words)) for one in influences.values() if one.cut}
    of_pair = [say(language, "influence_pair")] if pairs else []
    notes = " ".join([say(language, "influence_note"), *of_pair, *cuts])
    return f"<h2>{say(language, 'influence')}</h2><dl class='influence'>{lines}</dl>{note(notes)}"


def _influence_word(word: str, share: float) -> str:
    """Return a word with its points; the background shows the share, a dashed border a word against the answer."""
    points = round(100 * share)
    kind = " class='against'" if points < 0 else ""
    return f"<span{kind} style='--share:{abs(share):.3f}'>{escape(word)}<small>{f'{points:+}' if points else 0}</small></span> "


def reported(report: CompressionReport | None, compressed: str, language: str) -> str:
    """Return the main scores and the latency of the report as Markdown, with a link to the model card on the Hub.

    Args:
        report: The report, if there is one.
        compressed: Folder or Hub id of the compressed model.
        language: Language of the captions.
    """
    lines = []
    if report is not None and (quality := report.quality) is not None and quality.baseline and quality.compressed:
        name = quality.metric
        before, after = (side.by_name.get(name) for side in (quality.baseline, quality.compressed))
        if before is not None and after is not None:
            values = {"before": number(name, before), "after": number(name, after)}
            title, rows, split = metric_title(name), quality.rows, quality.split
            lines.append(say(language, "report_quality", metric=title, rows=rows, split=split, **values))
    if report is not None and (quality := report.quality) is not None and quality.metric == "agreement":
        share = percent(quality.agreement)
        lines.append(say(language, "report_agreement", share=share, rows=quality.rows, split=quality.split))
    if report is not None and report.latency and (row := report.latency[0]).speedup is not None:
        size = {"batch": row.batch_size, "length": row.sequence_length}
        speed = say(language, "report_speed", ratio=row.speedup, processor=row.processor, **size)
        lines.append(f"{speed} {say(language, 'report_busy')}" if row.busy else speed)
    if not Path(compressed).is_dir():
        lines.append(f"[{say(language, 'report_card')}]({constants.ENDPOINT}/{compressed})")
    return " ".join(lines)


_LOAD = "import trainer_ext  # registers its model classes\nfrom transformers import {names}\n"
_ANSWER = """import torch

tokenizer = AutoTokenizer.from_pretrained({model!r})
model = AutoModelForQuestionAnswering.from_pretrained({model!r}).eval()
context = {second!r}
inputs = tokenizer({text!r}, context, truncation="only_second", return_offsets_mapping=True, return_tensors="pt")
places = inputs.pop("offset_mapping")[0]
with torch.inference_mode():
    output = model(**inputs)
allowed = torch.tensor([part == 1 for part in inputs.sequence_ids(0)])  # the context
start, end = (logits[0].where(allowed, -torch.inf) for logits in (output.start_logits, output.end_logits))
spans = torch.ones(len(start), len(start)).triu().tril(29).bool()  # of 30 tokens at most
first, last = divmod(int((start[:, None] + end).where(spans, -torch.inf).argmax()), len(start))
print(context[places[first][0] : places[last][1]])
"""
# By the task: what to import, and how to ask the model; `asked` is one text, or two by name.
_PYTHON = {
    "text-classification": (
        "pipeline",
        '\nclassify = pipeline("text-classification", {model!r}, top_k=None)\nprint(classify({asked!r}, truncation=True))\n',
    ),
    "token-classification": (
        "pipeline",
        '\nmark = pipeline("token-classification", {model!r}, aggregation_strategy="first")\nprint(mark({text!r}))\n',
    ),
    "question-answering": ("AutoModelForQuestionAnswering, AutoTokenizer", _ANSWER),
}


def in_python(texts: Sequence[str], model: str, task: str = "text-classification") -> str:
    """Return Python code that asks the compressed model, without this page.

    Args:
        texts: One text, or two.
        model: Folder or Hub id of the compressed model.
        task: Its task.
    """
    names, code = _PYTHON[task]
    asked = dict(zip(("text", "text_pair"), texts, strict=True)) if len(texts) > 1 else texts[0]
    return _LOAD.format(names=names) + code.format(model=model, asked=asked, text=texts[0], second=texts[-1])


def in_client(texts: Sequence[str], address: str) -> str:
    """Return Python code that gets the answers of both models from the page at an address, with Gradio's client."""
    given = ", ".join(map(repr, texts))
    return f'from gradio_client import Client\n\nprint(Client({address!r}).predict({given}, api_name="/compare"))\n'


def in_curl(texts: Sequence[str], address: str) -> str:
    """Return shell code for the same: the first request returns an id, with which the second gets the answer."""
    call = shlex.quote(f"{address.rstrip('/')}/gradio_api/call/compare")
    data = shlex.quote(json.dumps({"data": list(texts)}, ensure_ascii=False))
    return (
        f"call={call}\n"
        f"event=$(curl -s \"$call\" -H 'Content-Type: application/json' -d {data} | cut -d '\"' -f 4)\n"
        'curl -sN "$call/$event"\n'
    )
