"""What the documents say, and the parts of docs/reference.md that are generated.

`python -m tests.reference` writes those parts anew: the help of every command, and the fields
of every `--json` document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from spritz_cli.cli.app import COMMANDS, app
from spritz_cli.settings import PACKAGE

ROOT = Path(__file__).parents[1]
_REFERENCE = ROOT / "docs" / "reference.md"
SCHEMAS = PACKAGE / "cli" / "schemas"

_ELSEWHERE = ("reader", "svg_templates")
DOCUMENTS = (
    *sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]),
    *(ROOT / folder / "README.md" for folder in _ELSEWHERE),
)

WIDTH = 80

_Schema = Mapping[str, Any]


# What a document says


def text(name: Path | str) -> str:
    return (ROOT / name).read_text("utf-8")


def section(document: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one of its level."""
    level = heading.partition(" ")[0]
    pattern = rf"^{re.escape(heading)}\n(.*?)(?=^{level} |\Z)"
    (body,) = re.findall(pattern, document, re.MULTILINE | re.DOTALL)
    return str(body)


def first_column(table: str) -> set[str]:
    """Return what stands in code spans in the first column of a table."""
    return {
        name for cell in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE) for name in spans(cell)
    }


def blocks(document: str, language: str = r"\w*") -> list[str]:
    """Return the code blocks of a document."""
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.MULTILINE | re.DOTALL)


def spans(document: str) -> list[str]:
    """Return the code spans of a document."""
    return re.findall(r"`([^`\n]+)`", _prose(document))


def code_lines(document: str) -> list[str]:
    """Return each code span, and each line of the code blocks without prompt and comment."""
    lines = "\n".join(blocks(document)).splitlines()
    return [*spans(document), *(re.sub(r"^\$ |\s+#.*", "", line) for line in lines)]


def anchors(document: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _prose(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _prose(document: str) -> str:
    return re.sub(r"^```.*?^```", "", document, flags=re.MULTILINE | re.DOTALL)


# What is generated


def generated(text: str) -> str:
    """Return the reference with its generated parts as they should be."""
    for name, write in {"commands": commands, "json": json_documents}.items():
        start, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{write()}\n{end}{after}"
    return text


# Commands


def commands() -> str:
    """Return what --help says, of vidgen and of each command."""
    group: Any = typer.main.get_command(app)
    root = _context(group, "vidgen")
    contexts = [root, *(_context(group.commands[name], name, parent=root) for name in COMMANDS)]
    return "\n".join(map(_help, contexts))


def _context(command: Any, name: str, **options: Any) -> Any:
    settings = {**(command.context_settings or {}), "terminal_width": WIDTH}
    return command.context_class(command, info_name=name, **settings, **options)


def _help(context: Any) -> str:
    lines = context.get_help().strip().splitlines()
    text = "\n".join(line.rstrip() for line in lines)
    return f"### `{context.command_path}`\n\n```text\n{text}\n```\n"


# --json documents


def json_documents(folder: Path = SCHEMAS) -> str:
    """Return a table of fields for each schema in a folder, and for each part they share."""
    schemas = {
        path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))
    }
    parts = {name: part for schema in schemas.values() for name, part in _parts(schema)}
    own = {name: schemas[name] for name in schemas if "properties" in schemas[name]}
    shared = {f"Part: {name}": part for name, part in parts.items() if "properties" in part}
    return "\n".join(_section(name, schema, parts) for name, schema in (own | shared).items())


def _parts(schema: _Schema) -> Iterable[tuple[str, _Schema]]:
    parts: dict[str, _Schema] = schema.get("$defs", {})
    return parts.items()


def _section(name: str, schema: _Schema, parts: Mapping[str, _Schema]) -> str:
    rows = [f"| `{path}` | {kind} | {text} |" for path, kind, text in _fields(schema, parts)]
    text = schema.get("description", "")
    return "\n".join(
        [f"### {name}", "", text, "", "| field | type | meaning |", "|---|---|---|", *rows, ""]
    )


def _fields(
    schema: _Schema, parts: Mapping[str, _Schema], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Yield the path, type and meaning of each field, also of those inside others."""
    for name, field in schema.get("properties", {}).items():
        path, part = f"{prefix}{name}", _part(field, parts)
        yield path, _type(field, parts), _in_a_cell(field.get("description") or part["description"])
        for inner in (field, *field.get("anyOf", ())):
            yield from _fields(inner, parts, f"{path}.")
            yield from _fields(inner.get("items", {}), parts, f"{path}[].")


def _part(field: _Schema, parts: Mapping[str, _Schema]) -> _Schema:
    """Return what a field refers to, or itself."""
    return parts[field["$ref"].rpartition("/")[2]] if "$ref" in field else field


def _type(field: _Schema, parts: Mapping[str, _Schema]) -> str:
    part = _part(field, parts)
    if part is not field and "properties" in part:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#part-{name})"
    if choices := part.get("anyOf"):
        return " or ".join(_type(choice, parts) for choice in choices)
    if values := part.get("enum") or [part[key] for key in ("const",) if key in part]:
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    kinds = part.get("type", "any")
    if kinds == "array":
        return f"list of {_type(part.get('items', {}), parts)}"
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _in_a_cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    _REFERENCE.write_text(generated(text(_REFERENCE)), "utf-8")
