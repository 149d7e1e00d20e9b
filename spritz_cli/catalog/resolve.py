"""What the expressions of one template come to: its results, texts and figures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spritz_cli.catalog.findings import Findings, as_list, as_mapping, cut, show
from spritz_cli.catalog.schema import DEFAULT_SCENE, DEFAULT_STYLE
from spritz_cli.catalog.strict_yaml import Location, invisible
from spritz_cli.catalog.topics import compute, parameters_model
from spritz_cli.catalog.validation import validate
from spritz_cli.errors import VidgenError
from spritz_cli.models import Cue, KeyFigure, Template, TextCard
from spritz_cli.templating import evaluate, render_text

CAPTION_LINES = 2
CAPTION_WIDTH = 42

#: Longest text as it is read, after its expressions are filled in.
LONGEST: Mapping[Location, int] = {
    ("title",): 40,
    ("takeaway",): 60,
    ("alt",): 200,
    ("card", "headline"): 60,
    ("card", "body"): 400,
    ("card", "action"): 120,
}
LONGEST_LABEL = 24


@dataclass(frozen=True)
class Resolved:
    """What the expressions of one entry came to."""

    texts: Mapping[Location, str]
    results: Mapping[str, Any]
    figures: Sequence[float]


def resolve(raw: Mapping[str, Any], at: Location, findings: Findings) -> Resolved | None:
    """Fill in the expressions of the entry at `at`; None if its parameters are not valid."""
    results = _results(raw, at, findings)
    if results is None:
        return None
    values = {**as_mapping(raw.get("parameters")), **results}
    texts = {
        where: _text(source, values, (*at, *where), findings)
        for where, source in _sources(raw)
        if isinstance(source, str) and not findings.spoilt((*at, *where))
    }
    figures = [
        _figure(as_mapping(figure).get("value"), values, (*at, "figures", index, "value"), findings)
        for index, figure in enumerate(as_list(raw.get("figures")))
    ]
    return Resolved(texts, results, figures)


def build(raw: Mapping[str, Any], resolved: Resolved, accent: str) -> Template:
    """Return the template of an entry without problems."""
    texts = resolved.texts
    return Template(
        persona=raw["persona"],
        topic=raw["topic"],
        title=texts["title",],
        prompt_template=raw["prompt_template"].strip(),
        visual_metaphor=raw["visual_metaphor"].strip(),
        duration_seconds=raw["duration_seconds"],
        style=raw.get("style", DEFAULT_STYLE).strip(),
        fallback_static=raw.get("fallback_static", DEFAULT_SCENE),
        accent=accent,
        takeaway=texts["takeaway",],
        card=TextCard(*(texts["card", part] for part in ("headline", "body", "action"))),
        alt=texts["alt",],
        captions=tuple(
            Cue(float(cue["start"]), float(cue["end"]), texts["captions", index, "text"])
            for index, cue in enumerate(raw["captions"])
        ),
        parameters=raw.get("parameters", {}),
        results=resolved.results,
        figures=tuple(
            KeyFigure(value, figure["format"], texts["figures", index, "label"])
            for index, (figure, value) in enumerate(
                zip(raw["figures"], resolved.figures, strict=True)
            )
        ),
        review_by=raw.get("review_by"),
        priority=raw.get("priority", 0),
        take=raw.get("take", 1),
    )


def _results(raw: Mapping[str, Any], at: Location, findings: Findings) -> dict[str, Any] | None:
    topic, place = raw.get("topic"), (*at, "parameters")
    if not isinstance(topic, str):
        return None
    parameters, model = raw.get("parameters", {}), parameters_model(topic)
    if model is None and findings.spoilt((*at, "topic")):
        # A misspelt topic: its texts would only name results that it does not have.
        return None
    if model and not findings.spoilt(place):
        validate(model, parameters, place, findings, expected={})
    if findings.spoilt(place):
        return None
    try:
        computed = json.dumps(compute(topic, parameters), allow_nan=False)
    except (VidgenError, ValueError, ArithmeticError) as exc:
        findings.add(place, f"{findings.label(place)}: {exc}", "Change the parameters here.")
        return None
    # Through JSON, so that a cached catalog holds the very same values.
    results: dict[str, Any] = json.loads(computed)
    return results


def _sources(raw: Mapping[str, Any]) -> Iterator[tuple[Location, Any]]:
    for where in LONGEST:
        yield where, _value_at(where, raw)
    for name, key in (("captions", "text"), ("figures", "label")):
        for index, item in enumerate(as_list(raw.get(name))):
            yield (name, index, key), as_mapping(item).get(key)


def _value_at(where: Location, value: Any) -> Any:
    for key in where:
        value = as_mapping(value).get(str(key))
    return value


def _text(source: str, values: Mapping[str, Any], at: Location, findings: Findings) -> str:
    try:
        text = render_text(source, values).strip()
    except VidgenError as exc:
        findings.add(at, f"{findings.label(at)}: {exc.message}", exc.hint)
        return ""
    wrong = _caption_fault(text) if at[2] == "captions" else _line_fault(text, at[2:])
    if wrong:
        findings.add(at, f"{findings.label(at)} {wrong[0]}", wrong[1])
    return text


def _line_fault(text: str, where: Location) -> tuple[str, str] | None:
    longest = LONGEST.get(where, LONGEST_LABEL)
    if not text:
        return "must not be empty", "Write the text."
    if "\n" in text or invisible(text):
        return "must be one line of visible characters", "Use “>-” for a long text."
    if len(text) > longest:
        return f"must be at most {longest} characters, got {len(text)}", "Shorten the text."
    return None


def _caption_fault(text: str) -> tuple[str, str] | None:
    lines = text.split("\n")
    widest = max(lines, key=len)
    if not all(line.strip() for line in lines) or invisible(text):
        return "must be visible text without empty lines", "Write the text."
    if len(lines) > CAPTION_LINES:
        return f"must be at most {CAPTION_LINES} lines, got {len(lines)}", "Make it two captions."
    if len(widest) > CAPTION_WIDTH:
        return (
            f"must have at most {CAPTION_WIDTH} characters in a line, got {len(widest)}",
            "Break the line with \\n in quotes, or shorten it.",
        )
    return None


def _figure(source: Any, values: Mapping[str, Any], at: Location, findings: Findings) -> float:
    if not isinstance(source, str) or findings.spoilt(at):
        return 0.0
    try:
        value = evaluate(source, values)
    except VidgenError as exc:
        findings.add(at, f"{findings.label(at)}: {exc.message}", exc.hint)
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        message = f"{findings.label(at)} must be a number, but {cut(source)} is {show(value)}"
        findings.add(at, message, "Name a parameter or result that is a number.")
        return 0.0
    return float(value)
