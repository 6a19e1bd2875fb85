"""What axe-core finds on a page that keeps somebody from using it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

_AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()


def serious(page: Page) -> list[str]:
    """Serious and critical findings, each with the element where it is."""
    page.evaluate(_AXE)  # from the test itself: the page's policy lets no such script in
    found: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:150]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
