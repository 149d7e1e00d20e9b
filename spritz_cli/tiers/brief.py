"""The request to a provider for one film, and the stored footage that satisfies it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spritz_cli import fingerprints
from spritz_cli.models import Template
from spritz_cli.scene import tokens
from spritz_cli.storage.footage import CHARGED, FootageStore, Order

if TYPE_CHECKING:
    from spritz_cli.videos_api.profile import Profile

#: Models garble letters and digits, so vidgen draws all words and numbers itself.
_RULES = (
    "Soft, friendly, flat 3D illustration in calm colours on a light background; slow camera. "
    "No text, letters, digits, currency signs, charts with labels, logos or watermarks anywhere. "
    "The subject stands right of the middle; the top and the left quarter of the picture are plain."
)


class Brief(NamedTuple):
    """The request for one film: a prompt and `seconds` for each part, in one size."""

    template: Template
    model: str
    size: str
    seconds: tuple[int, ...]

    @property
    def paid_fingerprint(self) -> str:
        """The digest of everything that new footage is bought for when it changes."""
        return fingerprints.digest(
            {
                # The key is part of the digest: renaming it would buy all footage again.
                "wish": request_digest(self.template),
                "model": self.model,
                "size": self.size,
                "seconds": list(self.seconds),
            }
        )

    @property
    def parts(self) -> range:
        return range(1, len(self.seconds) + 1)

    def missing(self, orders: Sequence[Order]) -> list[int]:
        """Return the parts that are not paid for."""
        own = [order for order in orders if order.paid_fingerprint == self.paid_fingerprint]
        paid = {order.part for order in own if order.state in CHARGED and order.state != "failed"}
        return [part for part in self.parts if part not in paid]

    def prompt(self, part: int) -> str:
        """Return the prompt for one part of the film."""
        count, template = len(self.seconds), self.template
        shot = f" Shot {part} of {count}, the same place and style in all." if count > 1 else ""
        metaphor = template.visual_metaphor.rstrip(".")
        return (
            f"{template.prompt_template} Visual metaphor: {metaphor}. "
            f"Mood: {template.style}. {_RULES}{shot}"
        )


def brief_for(template: Template, profile: Profile, model: str) -> Brief:
    """Return the request for a film; its parts cover the whole duration."""
    return Brief(
        template, model, frame_size(profile.sizes), profile.plan_seconds(template.duration_seconds)
    )


def request_digest(template: Template) -> str:
    """Return the digest of what the catalog asks for.

    It does not cover the whole prompt: rewording our rules must not buy footage again.
    """
    return fingerprints.digest(
        {
            "prompt": template.prompt_template,
            "metaphor": template.visual_metaphor,
            "style": template.style,
            "take": template.take,
        }
    )


def frame_size(sizes: Sequence[str]) -> str:
    """Return our own frame size if offered, else the one with the closest aspect ratio."""
    ours = f"{tokens.WIDTH}x{tokens.HEIGHT}"
    if not sizes or ours in sizes:
        return ours
    return min(sizes, key=_distance)


def footage_in_hand(template: Template, footage: FootageStore) -> Sequence[Order]:
    """Return the newest complete footage that the template asks for, from any provider."""
    sets: dict[str, dict[int, Order]] = {}
    for order in footage.orders(template):
        if answers(order, template) and footage.intact(order):
            sets.setdefault(order.paid_fingerprint, {})[order.part] = order
    whole = [list(parts.values()) for parts in sets.values() if _is_complete(parts)]
    newest = max(whole, key=lambda orders: orders[-1].created_at, default=[])
    return sorted(newest, key=lambda order: order.part)


def answers(order: Order, template: Template) -> bool:
    """Whether an order was made for the current request of the template."""
    return order.request_digest == request_digest(template)


def _is_complete(parts: dict[int, Order]) -> bool:
    return all(len(parts) == order.parts for order in parts.values())


def _distance(size: str) -> float:
    width, height = (int(number) for number in size.split("x"))
    return abs(width / height - tokens.WIDTH / tokens.HEIGHT)
