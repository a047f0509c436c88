"""Show a race: the times so far in a table, with a bar for each model that fills as the rounds go by."""

from __future__ import annotations

from functools import partial
from html import escape

from core import captions
from core.captions import model_name
from core.race import ROUNDS, Race
from core.startup import SIDES

from charts.markup import note, table

WORDS = {
    "en": {
        "model": "model",
        "median": "median",
        "p95": "95 % within",
        "throughput": "texts/s",
        "ready": "Both models get the same inputs in turns; the bars fill while they run.",
        "running": "Round {rounds} of {planned} …",
        "faster": "The compressed model is {speedup}x as fast on this machine.",
        "file": "{name}: {speedup}x.",
        "slower": "The compressed model is not faster here: {speedup}x.",
        "how": "{processor}; threads: {threads}; {batch} x {length} random tokens per call, the same for both; median of "
        "{rounds} calls each. The longer bar is the slower model.",
    },
    "mr": {
        "model": "मॉडेल",
        "median": "मध्यक",
        "p95": "95 % यापेक्षा कमी",
        "throughput": "मजकूर/से",
        "ready": "दोन्ही मॉडेल आळीपाळीने त्याच नोंदींना उत्तर देतात; मोजणी चालू असताना पट्ट्या भरत जातात.",
        "running": "फेरी {rounds} / {planned} …",
        "faster": "या संगणकावर लहान मॉडेल मूळ मॉडेलच्या {speedup} पट वेगाने चालते.",
        "file": "{name}: {speedup} पट.",
        "slower": "लहान मॉडेल येथे अधिक वेगवान नाही: {speedup} पट.",
        "how": "{processor}; थ्रेड: {threads}; प्रत्येक वेळी {batch} x {length} यादृच्छिक टोकन, दोन्हींसाठी तीच; प्रत्येकी "
        "{rounds} मोजण्यांचा मध्यक. जास्त लांब पट्टी म्हणजे संथ मॉडेल.",
    },
}
say = partial(captions.say, WORDS)


def race_chart(found: Race | None, language: str) -> str:
    """Show the times of a race, or explain what a race is if there is none yet."""
    if found is None or not found.rounds:
        return note(say(language, "ready"))
    slowest = max(stats.median_ms for stats in found.stats.values())
    rows = "".join(
        f"<tr><th scope='row'>{model_name(language, name) if name in SIDES else escape(name)}"
        f"<span class='bar'><i class='{name if name in SIDES else 'deployed'}' style='width:{100 * found.done * stats.median_ms / slowest:.1f}%'></i></span>"
        f"</th><td>{stats.median_ms:.1f}&nbsp;ms</td><td>{stats.p95_ms:.1f}&nbsp;ms</td><td>{stats.throughput_per_s:,.0f}</td></tr>"
        for name, stats in found.stats.items()
    )
    columns = [say(language, key) for key in ("model", "median", "p95", "throughput")]
    how = say(
        language,
        "how",
        processor=escape(found.processor),
        threads=found.threads,
        batch=found.batch_size,
        length=found.sequence_length,
        rounds=found.rounds,
    )
    return _verdict(found, language) + table("numbers barred", columns, rows) + note(how)


def _verdict(found: Race, language: str) -> str:
    """Return the result in one sentence, which screen readers announce only at the end of the race."""
    if found.done < 1:
        return f"<p class='verdict'>{say(language, 'running', rounds=found.rounds, planned=ROUNDS)}</p>"
    key = "faster" if found.speedup > 1 else "slower"
    first = found.stats["baseline"].median_ms
    lines = [say(language, key, speedup=f"{found.speedup:.2f}")]
    lines += [
        say(language, "file", name=escape(name), speedup=f"{first / stats.median_ms:.2f}")
        for name, stats in found.stats.items()
        if name not in SIDES
    ]
    return f"<p class='verdict' role='status'>{' '.join(lines)}</p>"
