from __future__ import annotations

import hashlib
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spritz_cli.errors import StorageError, UsageError
from spritz_cli.gallery.comparison import compare, read_page
from spritz_cli.gallery.exhibit import Exhibit, Fact, FilmFiles
from spritz_cli.gallery.page import Page, write_page
from spritz_cli.models import TextCard, Video
from spritz_cli.testing import sample_film, sample_template


def exhibit(folder: Path, topic: str = "credit_utilization", content: str = "film") -> Exhibit:
    """A film that is there; `content` decides its bytes."""
    scratch = folder / f"{topic}-{content}"
    scratch.mkdir(exist_ok=True)
    film = sample_film(scratch, content)
    for kind, path in ((".webp", film.poster), (".vtt", film.captions)):
        path.rename(film.video.with_suffix(kind))
    template = sample_template(topic=topic)
    digest = hashlib.sha256(film.video.read_bytes()).hexdigest()
    return Exhibit(
        template,
        "ready",
        video=published(template, sha256=digest),
        media=FilmFiles(film.video),
        facts=[Fact("Length", "15.0 s")],
        inputs={"template": template.document(), "drawing": content},
    )


def published(template: Any, **changes: Any) -> Video:
    video = Video(
        persona=template.persona,
        topic=template.topic,
        status="ready",
        text_headline=template.card.headline,
        text_body=template.card.body,
        text_action=template.card.action,
        alt=template.alt,
        fingerprint="f" * 64,
        created_at="2026-11-23T10:00:00+00:00",
    )
    return replace(video, **changes)


def page(*exhibits: Exhibit, **changes: Any) -> Page:
    made = Page("Films", "2026-11-23T10:00:00+00:00", "today", "1.0", exhibits)
    return replace(made, **changes)


def written(folder: Path, *exhibits: Exhibit, **changes: Any) -> Path:
    path = folder / "gallery.html"
    write_page(page(*exhibits, **changes), path)
    return path


def test_a_page_is_one_file_that_asks_for_nothing_else(tmp_path: Path) -> None:
    html = written(tmp_path, exhibit(tmp_path)).read_text("utf-8")

    addresses = re.findall(r"""(?:src|href|poster)="([^"]*)"|url\(([^)]*)\)""", html)
    assert all(found.startswith(("data:", "#")) for pair in addresses for found in pair if found)
    assert "default-src 'none'" in html
    assert '<html lang="en">' in html


def test_a_page_shows_film_words_and_facts(tmp_path: Path) -> None:
    html = written(tmp_path, exhibit(tmp_path)).read_text("utf-8")

    assert '<source src="data:video/mp4;base64,' in html
    assert "Lower your utilization" in html
    assert "A gauge falls from 68% to 25%." in html
    assert "<dt>Length</dt><dd>15.0 s</dd>" in html
    assert "High utilization" in html


def test_words_cannot_become_markup(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>"
    template = sample_template(
        title=hostile, alt=f'" onerror="{hostile}', card=TextCard("<b>", "&", "'")
    )

    html = written(tmp_path, Exhibit(template, "not made yet")).read_text("utf-8")

    assert "<script>alert" not in html
    assert 'onerror="' not in html


def test_a_film_that_is_not_there_shows_its_text_card_and_why(tmp_path: Path) -> None:
    html = written(tmp_path, Exhibit(sample_template(), "not made yet")).read_text("utf-8")

    assert "<video" not in html.partition("</style>")[2].partition("<script>")[0]
    assert "Not made yet" in html
    assert "Pay before the statement." in html


def test_the_published_card_is_shown_not_that_of_an_edited_catalog(tmp_path: Path) -> None:
    shown = exhibit(tmp_path)
    edited = replace(shown, template=replace(shown.template, card=TextCard("New", "new", "new")))

    assert edited.card.headline == "Lower your utilization"


def test_findings_are_listed(tmp_path: Path) -> None:
    film = replace(exhibit(tmp_path), findings=["2.0 s: text on text. Move it."])

    assert "2.0 s: text on text. Move it." in written(tmp_path, film).read_text("utf-8")


def test_a_page_against_itself_shows_no_change(tmp_path: Path) -> None:
    films = [exhibit(tmp_path), exhibit(tmp_path, "autopay_setup")]

    found = compare(films, read_page(written(tmp_path, *films)))

    assert (found.changed, found.new, found.removed) == ([], [], [])
    assert found.unchanged == films


def test_a_changed_film_stands_beside_what_it_was(tmp_path: Path) -> None:
    before, after = exhibit(tmp_path), exhibit(tmp_path, content="other")
    earlier = read_page(written(tmp_path, before))

    (change,) = compare([after], earlier).changed
    html = written(tmp_path, after, comparison=compare([after], earlier)).read_text("utf-8")

    assert change.causes == ['drawing: "film" → "other"']
    for film in (before, after):
        assert film.media
        assert film.media.film in html


def test_what_was_edited_comes_first_among_the_causes(tmp_path: Path) -> None:
    before, after = exhibit(tmp_path), exhibit(tmp_path, content="other")
    edited = replace(after.template, parameters={**after.template.parameters, "payment": 2500})
    inputs = {"template": edited.document(), "drawing": "other"}

    (change,) = compare(
        [replace(after, inputs=inputs)], read_page(written(tmp_path, before))
    ).changed

    assert change.causes[0] == "parameters.payment: 2150 → 2500"


def test_other_inputs_that_give_the_same_film_need_no_second_player(tmp_path: Path) -> None:
    film = exhibit(tmp_path)
    earlier = read_page(written(tmp_path, film))

    (change,) = compare([replace(film, inputs={"drawing": "film"})], earlier).changed

    assert change.same_film
    assert change.before is None


def test_new_and_removed_films_are_named(tmp_path: Path) -> None:
    old, new = exhibit(tmp_path), exhibit(tmp_path, "autopay_setup")

    found = compare([new], read_page(written(tmp_path, old)))

    assert found.new == [new]
    assert found.removed == ["high_utilization/credit_utilization"]


def test_a_page_of_a_few_films_does_not_call_the_others_removed(tmp_path: Path) -> None:
    films = [exhibit(tmp_path), exhibit(tmp_path, "autopay_setup")]
    earlier = read_page(written(tmp_path, *films))

    found = compare(films[1:], earlier.only("*", "autopay_*"))

    assert not found.removed


def test_a_page_with_a_comparison_is_itself_an_earlier_page(tmp_path: Path) -> None:
    before, after = exhibit(tmp_path), exhibit(tmp_path, content="other")
    found = compare([after], read_page(written(tmp_path, before)))

    again = read_page(written(tmp_path, after, comparison=found))

    assert compare([after], again).unchanged == [after]
    assert after.media
    assert again.media[after.name].film == after.media.film


def test_a_film_that_is_gone_is_a_change_of_its_state(tmp_path: Path) -> None:
    film = exhibit(tmp_path)
    earlier = read_page(written(tmp_path, film))

    (change,) = compare([Exhibit(film.template, "files missing")], earlier).changed

    assert change.causes == ["state: ready → files missing"]
    assert change.before


def test_a_film_that_was_tampered_with_is_not_shown_again(tmp_path: Path) -> None:
    film = exhibit(tmp_path)
    path = written(tmp_path, film)
    assert film.media
    path.write_text(path.read_text("utf-8").replace(film.media.film, "data:video/mp4;base64,AAAA"))

    assert read_page(path).media == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><p>Hello", b"\xff\xfe", b'<script id="vidgen">[]</script>'],
    ids=["empty", "another page", "not text", "another record"],
)
def test_what_is_no_gallery_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(content)

    with pytest.raises(UsageError, match="is not a page"):
        read_page(path)


def test_a_page_of_another_version_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, exhibit(tmp_path))
    path.write_text(path.read_text("utf-8").replace('"schema": 1', '"schema": 2'), "utf-8")

    with pytest.raises(UsageError, match="another version"):
        read_page(path)


def test_an_earlier_page_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.html cannot be read"):
        read_page(tmp_path / "nowhere.html")


def test_a_failed_page_leaves_the_old_one_and_no_scraps(tmp_path: Path) -> None:
    film = exhibit(tmp_path)
    path = written(tmp_path, film)
    before = path.read_bytes()
    assert isinstance(film.media, FilmFiles)
    film.media.video.unlink()

    with pytest.raises(StorageError, match=r"film.mp4 cannot be read"):
        write_page(page(film), path)

    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["gallery.html"]


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_page(page(exhibit(tmp_path)), tmp_path / "no folder" / "gallery.html")


def test_a_page_is_written_film_by_film(tmp_path: Path) -> None:
    films = [exhibit(tmp_path, f"topic_{index}") for index in range(12)]
    for film in films:
        assert isinstance(film.media, FilmFiles)
        film.media.video.write_bytes(bytes(1_000_000))

    tracemalloc.start()
    size = write_page(page(*films), tmp_path / "gallery.html")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size > 16_000_000
    assert peak < 10_000_000
