"""Every action of the page, by keyboard alone."""

from playwright.sync_api import Browser

from stream.api.keys import NewKey
from tests.pages.site import Site
from tests.pages.visitor import visit
from tests.unit.api.test_pages import HOSTILE


def test_the_first_tab_skips_the_navigation(browser: Browser, site: Site) -> None:
    with visit(browser, site.url) as visitor:
        visitor.open("/customers")
        visitor.page.keyboard.press("Tab")
        assert visitor.page.evaluate("document.activeElement.textContent") == "Skip to the content"
        visitor.page.keyboard.press("Enter")
        visitor.page.keyboard.press("Tab")
        assert visitor.page.evaluate("document.activeElement.id") == "id"


def test_a_customer_is_found_and_an_absence_explained(browser: Browser, site: Site) -> None:
    with visit(browser, site.url) as visitor:
        visitor.open("/")
        visitor.press("nav a[href='/customers']")
        visitor.type("#id", "anna")
        visitor.press("form[action='/customers'] button")
        visitor.wait_for_text("When the next purchase is due")
        visitor.type("#why_not", "MAT")
        visitor.press("form[action='/customers#why-not'] button")
        visitor.wait_for_text("MAT is not recommended because of the catalogue (out of stock)")
        visitor.press("td a[href='/items?code=TEA']")
        visitor.wait_for_text("Baskets ever")
        assert visitor.problems == []


def test_a_rule_is_added_previewed_saved_and_switched_off(browser: Browser, site: Site) -> None:
    with visit(browser, site.url) as visitor:
        visitor.open("/rules")
        visitor.tab_to("#kind")
        visitor.page.keyboard.type("exclude")
        visitor.type("#stock_codes", "TEA")
        visitor.type("#name", "no tea")
        visitor.press("button[value='add']")
        visitor.wait_for_text("Nothing is saved yet.")
        assert site.shop.merchandising.rules.document.version == 3
        visitor.press("button[value='save']")
        visitor.wait_for_text("Version 4 of the rules is in force.")
        visitor.press("button[value='toggle:2']")
        visitor.press("button[value='save']")
        visitor.wait_for_text("Version 5 of the rules is in force.")
        rule = site.shop.merchandising.rules.document.rules[2]
        assert (rule.name, rule.enabled) == ("no tea", False)
        assert visitor.problems == []


def test_enter_in_a_field_of_the_rules_previews_and_saves_nothing(browser: Browser, site: Site) -> None:
    with visit(browser, site.url) as visitor:
        visitor.open("/rules")
        visitor.type("#customers", "anna")
        with visitor.page.expect_navigation():
            visitor.page.keyboard.press("Enter")
        visitor.wait_for_text("What the change does")
    assert site.shop.merchandising.rules.document.version == 3


def test_an_item_goes_out_of_stock(browser: Browser, site: Site) -> None:
    with visit(browser, site.url) as visitor:
        visitor.open("/items?code=TEA")
        visitor.type("#f-stock", "0")
        visitor.press("button[value='preview']")
        visitor.wait_for_text("would change")
        visitor.press("button[value='save']")
        visitor.wait_for_text("Not recommended now: out of stock.")
        assert site.shop.merchandising.catalogue["TEA"].stock == 0
        visitor.press("button[value='preview-delete']")
        visitor.wait_for_text("This is what deleting the entry does.")
        visitor.check("item-delete", axe=True)
        visitor.press("button[value='delete']")
        visitor.wait_for_text("TEA is deleted from the catalogue.")
    assert "TEA" not in site.shop.merchandising.catalogue


def test_a_model_is_promoted_and_rolled_back(browser: Browser, site: Site) -> None:
    first, second = (each.version for each in site.shop.registry.versions())
    with visit(browser, site.url) as visitor:
        visitor.open("/models")
        visitor.press("form[action='/models/promote'] button")
        visitor.wait_for_text(f"{second} is promoted.")
        assert site.shop.registry.current() == second
        visitor.press("form[action='/models/rollback'] button")
        visitor.wait_for_text(f"Rolled back: {first}")
    assert site.shop.registry.current() == first


def test_dead_letters_are_sent_back(browser: Browser, site: Site) -> None:
    with visit(browser, site.url) as visitor:
        visitor.open("/dead-letters")
        visitor.tab_to("details summary")
        visitor.page.keyboard.press("Enter")
        visitor.wait_for_text("Letter 0:7")
        visitor.press("form[action='/dead-letters/redrive'] button")
        visitor.wait_for_text("1 letter sent back")
        assert visitor.problems == []
    assert site.shop.letters is not None
    assert site.shop.letters.summary().letters == 1


def test_the_live_feed_is_followed_paused_and_narrowed(browser: Browser, site: Site) -> None:
    site.publish("before")
    with visit(browser, site.url) as visitor:
        visitor.open("/")
        visitor.wait_for_text("Following all customers.")
        rows = visitor.page.locator("#live tbody tr")
        site.publish(HOSTILE, items=[{"stock_code": HOSTILE, "probability": 0.5}], generated_at=HOSTILE)
        visitor.page.locator("#live tbody tr", has_text="<script>alert(1)").wait_for()
        assert visitor.page.evaluate("document.querySelectorAll('#live script').length") == 0
        visitor.tab_to("#live-pause")
        visitor.page.keyboard.press("Space")
        visitor.wait_for_text("Paused.")
        shown = rows.count()
        site.publish("ben")
        visitor.page.wait_for_timeout(300)
        assert rows.count() == shown
        visitor.page.keyboard.press("Space")
        visitor.page.locator("#live tbody tr", has_text="ben").wait_for()
        visitor.page.focus("body")
        visitor.open("/?customer=cleo")
        visitor.wait_for_text("Following customer cleo.")
        site.publish("anna")
        site.publish("cleo")
        visitor.page.locator("#live tbody tr", has_text="cleo").wait_for()
        assert "anna" not in visitor.page.locator("#live tbody").inner_text()
        assert visitor.problems == []


def test_with_keys_a_person_signs_in_and_out(browser: Browser, locked_site: Site, operator: NewKey) -> None:
    with visit(browser, locked_site.url) as visitor:
        visitor.open("/customers?id=anna")
        visitor.page.keyboard.type(operator.key)  # the field has the focus
        with visitor.page.expect_navigation():
            visitor.page.keyboard.press("Enter")
        visitor.wait_for_text("Customer anna")
        cookie = visitor.page.context.cookies()[0]
        assert (cookie.get("httpOnly"), cookie.get("sameSite"), operator.key in str(cookie)) == (True, "Lax", False)
        visitor.press("form[action='/sign-out'] button")
        visitor.wait_for_text("Enter an API key once")
        visitor.open("/customers?id=anna")
        visitor.wait_for_text("Enter an API key once")
        assert visitor.problems == []


def test_a_form_of_another_origin_does_nothing(browser: Browser, site: Site) -> None:
    """Another port is another origin of the same site: the cookie is sent, and yet nothing happens."""
    version = site.shop.registry.versions()[1].version
    before = site.shop.registry.current()
    elsewhere = "http://localhost:1/"
    form = (
        f"<form method=post action='{site.url}/models/promote'><input name=version value={version}></form>"
        "<script>onload = () => document.forms[0].submit()</script>"
    )
    with visit(browser, site.url) as visitor:
        visitor.open("/models")
        visitor.page.route(elsewhere, lambda route: route.fulfill(body=form, content_type="text/html"))
        with visitor.page.expect_response("**/models/promote") as answer:
            visitor.page.goto(elsewhere)
        assert "nextbasket_session" in answer.value.request.all_headers()["cookie"]
        assert answer.value.status == 403
    assert site.shop.registry.current() == before
