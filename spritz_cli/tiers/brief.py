"""What is asked of a provider for one film, and the footage that answers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spritz_cli import fingerprints
from spritz_cli.models import Template
from spritz_cli.scene import tokens
from spritz_cli.storage.footage import CHARGED, FootageStore, Order

if TYPE_CHECKING:
    from spritz_cli.videos_api.profile import Profile

#: Models garble letters and digits: all words and numbers of a film are drawn by us.
_RULES = (
    "Soft, friendly, flat 3D illustration in calm colours on a light background; slow camera. "
    "No text, letters, digits, currency signs, charts with labels, logos or watermarks anywhere. "
    "The subject stands right of the middle; the top and the left quarter of the picture are plain."
)


class Brief(NamedTuple):
    """What one film needs: a prompt for each part, `seconds` for each, in one size."""

    template: Template
    model: str
    size: str
    seconds: tuple[int, ...]

    @property
    def paid_fingerprint(self) -> str:
        """The paid fingerprint: a change of anything else never buys footage again."""
        return fingerprints.digest(
            {
                # Its first name: the key is part of the digest.
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
        """Return the parts that nobody has paid for."""
        mine = [order for order in orders if order.paid_fingerprint == self.paid_fingerprint]
        paid = {order.part for order in mine if order.state in CHARGED and order.state != "failed"}
        return [part for part in self.parts if part not in paid]

    def prompt(self, part: int) -> str:
        """Return the words for one part of the film."""
        count, template = len(self.seconds), self.template
        shot = f" Shot {part} of {count}, the same place and style in all." if count > 1 else ""
        metaphor = template.visual_metaphor.rstrip(".")
        return (
            f"{template.prompt_template} Visual metaphor: {metaphor}. "
            f"Mood: {template.style}. {_RULES}{shot}"
        )


def brief_for(template: Template, profile: Profile, model: str) -> Brief:
    """Return what to ask a provider for; the parts cover the whole film."""
    return Brief(
        template, model, frame_size(profile.sizes), profile.plan_seconds(template.duration_seconds)
    )


def request_digest(template: Template) -> str:
    """Return the digest of what the catalog asks for.

    Not of the prompt: when we word our part of it better, footage stays paid for.
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
    """Choose our own frame size, or the one closest to its shape."""
    ours = f"{tokens.WIDTH}x{tokens.HEIGHT}"
    if not sizes or ours in sizes:
        return ours
    return min(sizes, key=_distance)


def footage_in_hand(template: Template, footage: FootageStore) -> Sequence[Order]:
    """Return the newest complete footage of what the template asks for, whoever made it."""
    sets: dict[str, dict[int, Order]] = {}
    for order in footage.orders(template):
        if answers(order, template) and footage.intact(order):
            sets.setdefault(order.paid_fingerprint, {})[order.part] = order
    whole = [list(found.values()) for found in sets.values() if _is_complete(found)]
    newest = max(whole, key=lambda orders: orders[-1].created_at, default=[])
    return sorted(newest, key=lambda order: order.part)


def answers(order: Order, template: Template) -> bool:
    """Whether an order was made for what the template asks for now."""
    return order.request_digest == request_digest(template)


def _is_complete(found: dict[int, Order]) -> bool:
    return all(len(found) == order.parts for order in found.values())


def _distance(size: str) -> float:
    width, height = (int(number) for number in size.split("x"))
    return abs(width / height - tokens.WIDTH / tokens.HEIGHT)
