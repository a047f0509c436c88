"""Show the parameters of both models by part and by layer, as tables with bars."""

from __future__ import annotations

from functools import partial

from core import captions
from core.anatomy import Anatomy, Change

from charts.markup import note, table

WORDS = {
    "en": {
        "part": "part",
        "before": "before",
        "after": "after",
        "kept": "kept",
        "total": "all parameters",
        "embeddings": "embeddings",
        "attention": "attention",
        "ffn": "feed-forward",
        "encoder": "encoder",
        "head": "head",
        "other": "norms, pooler, head",
        "whole": "The baseline is counted with all {tokens:,} tokens; it was trained with the kept ones.",
        "layer": "layer",
        "by_layer": "Layer by layer: parameters after / before.",
        "no_layers": "It is not known which layers were kept, so they are not shown one by one.",
    },
    "mr": {
        "part": "भाग",
        "before": "आधी",
        "after": "नंतर",
        "kept": "उरले",
        "total": "एकूण पॅरामीटर",
        "embeddings": "एम्बेडिंग",
        "attention": "अटेन्शन",
        "ffn": "फीड-फॉरवर्ड",
        "encoder": "एन्कोडर",
        "head": "हेड",
        "other": "नॉर्म, पूलर, हेड",
        "whole": "मूळ मॉडेल सर्व {tokens:,} टोकनसह मोजले आहे; त्याचे प्रशिक्षण ठेवलेल्या टोकनवर झाले.",
        "layer": "स्तर",
        "by_layer": "प्रत्येक स्तर: आधीच्या पॅरामीटरपैकी उरलेले.",
        "no_layers": "कोणत्या स्तरापासून कोणता स्तर झाला हे माहीत नाही, म्हणून स्तर वेगळे दाखवलेले नाहीत.",
    },
}
say = partial(captions.say, WORDS)


def anatomy_chart(found: Anatomy, language: str) -> str:
    """Show the table of parts and the table of layers."""
    whole = note(say(language, "whole", tokens=found.tokens)) if found.tokens else ""
    return _parts(found, language) + whole + _layers(found, language)


def count(number: int) -> str:
    """Format a count with three digits: 850, 25.1k, 7.25M."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}" if number < 999.5 * size else f"{number / size:.0f}{unit}"
    return str(number)


def _parts(found: Anatomy, language: str) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{say(language, name)}{_bar(part, found.total.before)}</th>"
        f"<td>{count(part.before)}</td><td>{count(part.after)}</td><td>{_kept(part)}</td></tr>"
        for name, part in {**found.parts, "total": found.total}.items()
    )
    return table("numbers barred", [say(language, name) for name in ("part", "before", "after", "kept")], rows)


def _layers(found: Anatomy, language: str) -> str:
    if not found.layers:
        return note(say(language, "no_layers")) if "ffn" in found.parts else ""
    largest = max(part.before for layer in found.layers for part in layer.values())
    rows = "".join(
        f"<tr><th scope='row'>{number}</th>"
        + "".join(
            f"<td>{count(part.after)} / {count(part.before)}{_bar(part, largest)}</td>" for part in layer.values()
        )
        + "</tr>"
        for number, layer in enumerate(found.layers, start=1)
    )
    columns = [say(language, name) for name in ("layer", "attention", "ffn")]
    return note(say(language, "by_layer")) + table("numbers layers", columns, rows)


def _bar(part: Change, largest: int) -> str:
    """Return a bar: hatched the parameters before, filled those after; the largest part has full width."""
    before, after = (100 * number / (largest or 1) for number in (part.before, part.after))
    return (
        f"<span class='bar'><i class='removed' style='width:{before:.1f}%'></i>"
        f"<i class='compressed' style='width:{after:.1f}%'></i></span>"
    )


def _kept(part: Change) -> str:
    return f"{100 * part.after / part.before:.1f} %" if part.before else ""
