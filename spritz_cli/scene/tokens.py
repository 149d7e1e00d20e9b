"""The design tokens that scenes use by name: palette, type scale, frame."""

from __future__ import annotations

from types import MappingProxyType

WIDTH, HEIGHT, FPS = 1280, 720, 30

#: Colour tokens; _7 is for text and outlines, _5 for fills, _1 for tints.
COLOURS = MappingProxyType(
    {
        "paper": "#FBF8F2",
        "card": "#FFFFFF",
        "ink": "#1C2440",
        "ink_2": "#4B5472",
        "slate": "#7A839C",
        "line": "#DAD6E2",
        "green_7": "#17704A",
        "green_5": "#4DBB86",
        "green_1": "#DDF2E6",
        "amber_7": "#8A5200",
        "amber_5": "#F0A22E",
        "amber_1": "#FDEFD3",
        "coral_7": "#B23A1E",
        "coral_5": "#D9512C",
        "coral_1": "#FCE4DC",
        "gold_7": "#8F5F06",
        "gold_5": "#F6BF4A",
        "water_7": "#1F6FA8",
        "water_5": "#4AA3DF",
        "orchid": "#8458B3",
        "indigo": "#4A47C4",
        "indigo_1": "#E8E7FA",
        "teal": "#0B7285",
        "teal_1": "#DCF0F3",
        "berry": "#A62B6B",
        "berry_1": "#FAE5EF",
        "green": "#17704A",
    }
)

#: Style name -> (size in px, weight).
TYPE = MappingProxyType(
    {
        "note": (24, 600),
        "body": (28, 600),
        "label": (28, 700),
        "head": (36, 700),
        "take": (40, 700),
        "phrase": (44, 700),
        "num_m": (56, 800),
        "num_l": (88, 800),
        "num_xl": (120, 800),
    }
)
LINE_HEIGHT = 1.18
