"""Every page at three widths, light and dark: nothing is cut, WCAG AA by axe, nothing comes from elsewhere.

axe takes a second, so it looks at the narrow and the wide layout, which have all that a page has.
"""

import json
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser

from stream.api.keys import NewKey
from tests.pages.site import Site
from tests.pages.visitor import Scheme, visit
from tests.unit.api.test_pages import HOSTILE
from tests.unit.stream.harness import invoice

SIZES: list[tuple[int, Scheme]] = [(400, "dark"), (800, "light"), (1600, "light")]
LONG = "W" * 100
PAGES = {
    "live": "/",
    "customers": "/customers",
    "due": "/customers?within=7",
    "customer": "/customers?id=anna&why_not=MAT",
    "customer-unknown": "/customers?id=" + quote(HOSTILE),
    "customer-long": "/customers?id=" + LONG,
    "items": "/items",
    "item": "/items?code=TEA",
    "item-unknown": "/items?code=" + quote(HOSTILE),
    "rules": "/rules",
    "models": "/models",
    "dead-letters": "/dead-letters",
    "health": "/health",
    "problem": "/customers?id=" + 1_001 * "x",
}


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_every_page(browser: Browser, site: Site, width: int, scheme: Scheme) -> None:
    event = invoice(LONG, LONG, "2011-12-09T12:30:00Z", LONG, *(f"CODE{number}" for number in range(40)))
    site.shop.apply(event)
    with visit(browser, site.url, width, scheme) as visitor:
        for name, path in PAGES.items():
            visitor.open(path)
            if name == "live":
                visitor.wait_for_text("Following all customers.")
                site.publish(LONG, items=[{"stock_code": LONG, "probability": 0.5}] * 7)
                site.publish("ben")
                visitor.page.locator("#live tbody tr").nth(1).wait_for()
            visitor.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            visitor.check(f"{name}-{width}-{scheme}", axe=width != 800)
        visitor.open("/rules")
        rules = {"rules": [{"kind": "exclude", "name": LONG[:64], "items": {"stock_codes": ["TEA", LONG]}}]}
        visitor.page.fill("#draft", json.dumps(rules))
        visitor.page.fill("#customers", "anna, nobody")
        visitor.page.get_by_role("button", name="Preview", exact=True).click()
        visitor.wait_for_text("would change")
        visitor.check(f"rules-preview-{width}-{scheme}")
        visitor.page.fill("#draft", "{")
        visitor.page.get_by_role("button", name="Save").click()
        visitor.wait_for_text("not JSON")
        visitor.check(f"rules-invalid-{width}-{scheme}")


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1600, "dark")])
def test_every_page_of_a_shop_in_which_nothing_happened(
    browser: Browser, empty_site: Site, width: int, scheme: Scheme
) -> None:
    with visit(browser, empty_site.url, width, scheme) as visitor:
        for name in ("live", "customers", "items", "rules", "models", "dead-letters", "health"):
            visitor.open("/" if name == "live" else f"/{name}")
            visitor.check(f"empty-{name}-{width}-{scheme}")


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (800, "dark")])
def test_the_form_for_a_key(browser: Browser, locked_site: Site, operator: NewKey, width: int, scheme: Scheme) -> None:
    with visit(browser, locked_site.url, width, scheme) as visitor:
        visitor.open("/models")
        visitor.check(f"sign-in-{width}-{scheme}")
        visitor.page.fill("#key", "nb_wrong")
        visitor.page.get_by_role("button", name="Sign in").click()
        visitor.wait_for_text("The key is not known.")
        visitor.check(f"sign-in-refused-{width}-{scheme}")
        visitor.page.fill("#key", operator.key)
        visitor.page.get_by_role("button", name="Sign in").click()
        visitor.wait_for_text("Models")
        visitor.check(f"signed-in-{width}-{scheme}")
