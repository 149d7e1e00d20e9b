"""The peer scene with vidgen's own engine, used as for every film."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from spritz_cli.media import ffmpeg
from spritz_cli.models import Template, TextCard
from spritz_cli.scene.drawing import frames, held
from spritz_cli.scene.library import SceneLibrary

FOLDER = Path(__file__).parent / "scene"


def main(output: Path) -> None:
    data = json.loads((FOLDER / "scene.json").read_text("utf-8"))
    scene = SceneLibrary(FOLDER).open(_template(data))
    if output.suffix == ".raw":
        _save(frames(scene), output)
    else:
        still = held(scene)
        size = {name: data[name] for name in ("width", "height", "fps")}
        ffmpeg.encode(frames(scene, held=still), output, held=still, **size)


def _save(pictures: Iterator[bytearray], path: Path) -> None:
    with path.open("wb") as file:
        for picture in pictures:
            file.write(picture)


def _template(data: dict[str, object]) -> Template:
    return Template(
        persona="peer",
        topic="scene",
        title="",
        prompt_template="",
        visual_metaphor="",
        duration_seconds=5,
        style="",
        fallback_static="peer.svg.j2",
        accent="indigo",
        takeaway="",
        card=TextCard("", "", ""),
        alt="",
        captions=(),
        parameters=data,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
