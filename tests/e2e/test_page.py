"""The page at `/` of the shipped application, in Chromium as a person has it. Skipped where
Chromium or Playwright is missing: `apt-get install chromium && pip install playwright`."""

import re
import shutil
from collections.abc import Iterator

import httpx
import pytest

from cache_models.zoo.fashion import FOLDER, sample
from tests.e2e.conftest import stats
from tests.e2e.server import TOKEN
from workload.client.protocols import png

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the page is not tested: no playwright; pip install playwright"
)
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="the page is not tested: no chromium; apt-get install chromium"
)
QUIET = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
]
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, shipped) -> Iterator:
    """Opened, with figures; whatever it asks of another host, or complains of, fails the test."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Policy" in said.text else None)
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((shipped, "data:", "blob:")) else wrong.append(asked.url)
        ),
    )
    page.goto(f"{shipped}/", timeout=PATIENCE_MS)
    expects(page, "#connection").to_have_text("Live")
    yield page
    context.close()
    assert not wrong


def expects(page, selector: str):
    playwright.expect.set_options(timeout=PATIENCE_MS)
    return playwright.expect(page.locator(selector))


def test_counts_are_those_of_the_server_and_follow_it_without_a_reload(page, shipped):
    expects(page, "#model").to_have_text("fashion-mnist")
    expects(page, "#state-title").to_have_text("Caches are on")
    page.evaluate("window.here = true")
    before = stats(shipped)["requests"]
    with httpx.Client(base_url=shipped, timeout=60) as client:
        for image in sample()[0][:20]:
            assert client.post("/predict", content=png(image)).status_code == 200
    expects(page, "#requests-since").to_have_text(f"{before + 20:,} since start")
    leaves = page.locator("#pipeline b").all_inner_texts()
    shares = [float(text.split()[0]) for text in leaves if text.endswith("leave")]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert page.evaluate("window.here") is True


def test_a_picture_is_answered_by_caches_and_by_the_base_dnn(page):
    page.set_input_files("#file", FOLDER / "ankle_boot.png")
    expects(page, "#answer .answer").to_have_count(2)
    with_caches, base = page.locator("#answer .answer").all_inner_texts()
    assert "ankle boot" in with_caches
    assert "ankle boot" in base
    assert re.search(r"Partition0\s+[\d.]+ ms", base)
    assert "the same label" in base


def test_what_cannot_be_read_is_refused_in_words(page):
    page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no"})
    expects(page, "#answer").to_contain_text("PNG, JPEG")


def test_operators_need_the_token(page):
    assert not page.is_visible("#operate")
    page.fill("#token", "another")
    page.press("#token", "Enter")
    expects(page, "#said").to_contain_text("admin token")
    page.fill("#token", TOKEN)
    page.press("#token", "Enter")
    expects(page, "#versions").to_contain_text("in service")
    page.click("#pin")
    expects(page, "#said").to_have_text("Nothing is published until it is unpinned.")
    expects(page, "#state-facts").to_contain_text("pinned")
    page.click("#pin")
    expects(page, "#said").to_have_text("Rounds publish again.")
    page.reload()
    expects(page, "#operate").to_be_visible()
    page.click("#lock")
    expects(page, "#token-form").to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_everything_that_is_asked_for_has_a_name(page):
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input, textarea, [role=img], [role=region]')]
        .filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length
            || document.getElementById(e.getAttribute('aria-labelledby'))?.textContent))
        .map(e => e.outerHTML)"""
    )
    assert not nameless
