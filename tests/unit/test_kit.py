from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment, nodes
from PIL import Image

from spritz_cli.cli import main
from spritz_cli.scene.preview import KIT_SAMPLES, kit_sheet
from spritz_cli.settings import shipped
from tests.scenes import shipped_scenes

SAMPLES = Path(KIT_SAMPLES).name


def parsed(path: Path) -> nodes.Template:
    return Environment().parse(path.read_text("utf-8"))


def called(tree: nodes.Node) -> set[str]:
    """The names of what is called anywhere in a file or macro, `bar.level` as `level`."""
    functions = {call.node for call in tree.find_all(nodes.Call)}
    names = {node.name for node in functions if isinstance(node, nodes.Name)}
    return names | {node.attr for node in functions if isinstance(node, nodes.Getattr)}


def test_every_macro_of_the_kit_is_on_the_sheet() -> None:
    kit = shipped("svg_templates") / "kit"
    files = [path for path in sorted(kit.glob("*.j2")) if path.name != SAMPLES]
    macros = {path.name: list(parsed(path).find_all(nodes.Macro)) for path in files}
    shown = called(parsed(kit / SAMPLES))
    shown |= {name for found in macros.values() for macro in found for name in called(macro)}

    missing = [
        f"{name}: {macro.name}"
        for name, found in macros.items()
        for macro in found
        if macro.name not in shown
    ]
    assert not missing, f"give them a cell in {KIT_SAMPLES}"


def test_the_sheet_of_the_kit_shows_every_cell(tmp_path: Path) -> None:
    path = tmp_path / "kit.png"

    kit_sheet(shipped_scenes(), path)

    with Image.open(path) as sheet:
        assert sheet.width == 1940
        assert len(sheet.convert("RGB").getcolors(1 << 24) or ()) > 1000


def test_preview_writes_the_kit_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.png"

    assert main(["preview", "--kit", "--out", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert path.is_file()


@pytest.mark.parametrize("more", [["savings_builder"], ["--sheet"], ["--at", "1"]])
def test_the_kit_is_no_film(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "--kit", *more]) == 2
    assert "--kit shows no film" in capsys.readouterr().err
