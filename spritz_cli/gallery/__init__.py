"""One HTML page with every film, and with what changed since an earlier such page."""

from spritz_cli.gallery.comparison import Change, Comparison, Earlier, compare, read_page
from spritz_cli.gallery.exhibit import EmbeddedFilm, Exhibit, Fact, FilmFiles
from spritz_cli.gallery.page import Page, write_page

__all__ = [
    "Change",
    "Comparison",
    "Earlier",
    "EmbeddedFilm",
    "Exhibit",
    "Fact",
    "FilmFiles",
    "Page",
    "compare",
    "read_page",
    "write_page",
]
