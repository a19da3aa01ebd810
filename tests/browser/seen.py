"""What a person sees on a page: numbers, shapes, what has the focus, how well it can be read."""

from playwright.sync_api import Page

CONTRASTS = {
    "main h1": 4.5,
    "#traffic .sub": 4.5,
    "#traffic .chart text": 4.5,
    "#customers tbody a": 4.5,
    "#customers tbody td": 4.5,
    ".site nav a": 4.5,
    "#cpu a": 4.5,
    ".filters button": 4.5,
    "#traffic .bar.c1": 3,
    "#traffic .bar.c2": 2.3,
}
"""WCAG 2: what text, and what graphics, have to differ by from what is behind them, at least. A bar of the second
colour stands beside one of the first, has its name in a legend and its number in the table.
"""


def numbers(page: Page, selector: str) -> list[int]:
    """Exact numbers, from the markup."""
    values: list[str] = page.locator(selector).evaluate_all("all => all.map(each => each.getAttribute('value'))")
    return [int(value) for value in values]


def drawn(page: Page, selector: str) -> int:
    """How many shapes have some extent."""
    boxes: list[list[float]] = page.locator(selector).evaluate_all(
        "all => all.map(each => { const box = each.getBoundingClientRect(); return [box.width, box.height]; })"
    )
    return sum(width > 1 and height > 1 for width, height in boxes)


def sideways(page: Page) -> int:
    """Pixels by which the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def focused(page: Page) -> str:
    """What has the focus, by its text or its label."""
    return str(
        page.evaluate(
            """() => {
                const now = document.activeElement;
                return (now.labels?.[0]?.textContent || now.textContent).trim();
            }"""
        )
    )


_CONTRAST = """
(all) => {
  const parsed = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (from) => {
    for (let each = from; each; each = each.parentElement) {
      const [r, g, b, a = 1] = parsed(getComputedStyle(each).backgroundColor);
      if (a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  return Object.entries(all).map(([selector, least]) => {
    const each = document.querySelector(selector);
    const style = getComputedStyle(each);
    const graphic = each instanceof SVGElement;
    const one = light(parsed(graphic ? style.fill : style.color));
    const two = light(behind(graphic ? each.parentElement : each));
    return [selector, [least, (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05)]];
  });
}
"""


def contrasts(page: Page, wanted: dict[str, float]) -> dict[str, tuple[float, float]]:
    """By selector: the least contrast, and what it is."""
    return {selector: (least, ratio) for selector, (least, ratio) in page.evaluate(_CONTRAST, wanted)}
