"""A headless Chromium for tests of pages, and what it measures on them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Texts below WCAG 2's AA: contrast under 4.5, or under 3 where it is large (24 pixels, or 18.66 and bold). Backgrounds
# are those of the element and its ancestors, one over the other.
_FAINT = """() => {
  const numbers = text => (text.match(/[\\d.e-]+/g) || []).map(Number);
  const colour = text => {
    const unit = text.startsWith("color(") ? 255 : 1, [r, g, b, a = 1] = numbers(text.replace("color(srgb", ""));
    return [r * unit, g * unit, b * unit, a];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e =>
    e === null ? [255, 255, 255] : over(colour(getComputedStyle(e).backgroundColor), behind(e.parentElement));
  const faint = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const back = behind(e), front = over(colour(e instanceof SVGElement ? style.fill : style.color), back);
    const [a, b] = [light(front), light(back)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 600);
    if (contrast < (large ? 3 : 4.5)) faint.push(`${e.textContent.trim().slice(0, 30)}: ${contrast.toFixed(2)}`);
  }
  return faint;
}"""

# Sizes in pixels of the words in plots as they are shown; exponents of ticks are not words.
_WORDS = """() => [...document.querySelectorAll("svg text")].filter(t => t.textContent.trim().length > 2).map(t => {
  const svg = t.ownerSVGElement;
  return parseFloat(getComputedStyle(t).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
})"""


@contextmanager
def open_browser() -> Iterator[Any]:
    """Chromium through playwright; the test is skipped where one of the two is not installed."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    program = next((path for path in map(shutil.which, NAMES) if path), None)
    if program is None:
        pytest.skip(f"no browser is installed: none of {', '.join(NAMES)}")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Any, width: int, scheme: str = "light", **options: Any) -> Iterator[Any]:
    """An empty page of this width in pixels; what it writes to the console is in its list `said`.

    Args:
        browser: of `open_browser`.
        width: of the window, in pixels.
        scheme: "light" or "dark".
        options: of playwright's `new_context`.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    yield page
    context.close()


def faint_texts(page: Any) -> list[str]:
    """Texts with less contrast than WCAG 2's AA asks for, with their contrast."""
    texts: list[str] = page.evaluate(_FAINT)
    return texts


def sizes_of_words_in_plots(page: Any) -> list[float]:
    """Font sizes of the words in plots, in pixels of the screen."""
    sizes: list[float] = page.evaluate(_WORDS)
    return sizes


def page_width(page: Any) -> int:
    """Width of the whole page in pixels: more than the window's if it must be scrolled sideways."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width
