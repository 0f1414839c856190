"""What every page must pass in a browser, and watching for what a page may not do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What passes, and where in the page it stands, nobody reads; to work it out takes time.
ASKED = {"runOnly": LEVELS, "resultTypes": ["violations"], "selectors": False}


@dataclass
class Watch:
    """What a page said to the console, threw, or asked of somebody else's server."""

    origin: str
    complaints: list[str] = field(default_factory=list)

    def on(self, page: "Page") -> "Watch":
        """Begin to watch; keep it empty."""
        page.on("console", lambda said: self.hear(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(f"threw {error}"))
        page.on("request", lambda request: self.see(request.url))
        return self

    def hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def see(self, url: str) -> None:
        if not url.startswith((self.origin, "data:", "blob:")):
            self.complaints.append(f"asked {url}")


def violations(page: "Page") -> list[str]:
    """What axe finds on the page as it is, in words; none is WCAG 2.2 AA as far as axe sees."""
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        "asked => axe.run(document, asked).then(found => found.violations)", ASKED
    )
    return [f"{v['id']}: {node['html'][:200]}" for v in found for node in v["nodes"]]


def overflows(page: "Page") -> bool:
    """Whether the page itself, not a region of it, must be scrolled sideways."""
    return bool(
        page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )
