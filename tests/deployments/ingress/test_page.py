"""The page's files, and the events that keep it live."""

import asyncio
import json

import httpx
import pytest

from deployments.ingress import live
from deployments.ingress.admin import TOKEN
from deployments.ingress.endpoints import build
from deployments.ingress.errors import Unavailable
from deployments.ingress.live import Live
from deployments.page import FOLDER
from tests.deployments.ingress.test_endpoints import Client, FakeService


@pytest.fixture
def service():
    return FakeService()


@pytest.fixture
def client(service):
    return Client(service)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(live, "EVERY_S", 0.001)


class Browser:
    """Asks an application for `/events` as a server does, and goes when it likes."""

    def __init__(self, app):
        self._app, self._goes = app, asyncio.Event()
        self.status, self.headers, self.body = 0, {}, ""
        self.task: asyncio.Task | None = None

    def ask(self) -> "Browser":
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/events",
            "headers": [],
            "query_string": b"",
        }
        self.task = asyncio.create_task(self._app(scope, self._receive, self._send))
        return self

    def leave(self) -> None:
        self._goes.set()

    async def sees(self, text: str, count: int = 1) -> None:
        async with asyncio.timeout(20):
            while self.body.count(text) < count:
                await asyncio.sleep(0.001)

    async def is_over(self) -> None:
        assert self.task
        async with asyncio.timeout(20):
            await self.task

    async def _receive(self):
        await self._goes.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self.body += message.get("body", b"").decode()


def events(body: str) -> list[tuple[str, dict]]:
    """As a browser reads them."""
    blocks = [block.splitlines() for block in body.split("\n\n") if "event: " in block]
    fields = [dict(line.split(": ", 1) for line in block) for block in blocks]
    return [(field["event"], json.loads(field["data"])) for field in fields]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")],
)
def test_files_come_as_what_they_are_and_may_ask_this_server_alone(client, path, kind):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(
        rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


def test_files_name_no_other_host():
    for file in FOLDER.glob("*.*"):
        if file.suffix in (".html", ".css", ".js"):
            text = file.read_text().replace("http://www.w3.org/2000/svg", "")
            assert "//" not in text.replace("// ", "").replace("<!-- ", ""), file


def test_links_are_below_the_prefix_of_the_routes(service):
    assert '<base href="/">' in Client(service).get("/").text

    async def below_pets():
        transport = httpx.ASGITransport(build(service), root_path="/pets")
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return (await client.get("/pets/")).text

    body = asyncio.run(below_pets())
    assert '<base href="/pets/">' in body
    assert "{root}" not in body


def test_head_has_no_body(client):
    answer = client.request("HEAD", "/")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_schema_is_silent_about_it(client):
    assert not {"/", "/events", "/page.js"} & client.get("/openapi.json").json()["paths"].keys()


def test_events_say_what_is_served_and_then_how_it_does(service, monkeypatch):
    monkeypatch.setenv(TOKEN, "secret")
    service.stats.count(["input", "base"], 5.0)

    async def listen():
        browser = Browser(build(service)).ask()
        await browser.sees("event: stats", 2)
        browser.leave()
        await browser.is_over()
        return browser

    browser = asyncio.run(listen())
    assert browser.status == 200
    assert browser.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert browser.headers["cache-control"] == "no-store"
    assert browser.body.startswith("retry: ")
    (first, about), (second, report), *_ = events(browser.body)
    assert (first, second) == ("about", "stats")
    assert about["classes"] == ["cat", "dog"]
    assert about["takes"] == "picture"
    assert about["admin"] is True
    stages = [(stage["name"], stage["exit"]) for stage in about["stages"]]
    assert stages == [("Lookup0", "input"), ("Partition0", None)]
    assert about["stages"][1]["share"] == 1
    assert report["requests"] == 2
    assert sum(report["exits"]["base"]["histogram"].values()) == 1
    assert "plan" not in report


def test_all_listeners_share_one_report_and_none_is_made_for_nobody(service):
    asked, may_answer, report = 0, asyncio.Event(), service.report

    async def counted():
        nonlocal asked
        asked += 1
        await may_answer.wait()
        return await report()

    service.report = counted

    async def listen():
        live = Live(service, "{}")
        browsers = [Browser(lambda *of: live.listen()(*of)).ask() for _ in range(5)]
        for browser in browsers:
            await browser.sees("event: about")
        assert (live.listeners, asked) == (5, 1)
        may_answer.set()
        for browser in browsers:
            await browser.sees("event: stats")
        for browser in browsers:
            browser.leave()
            await browser.is_over()
        assert live.listeners == 0
        before = asked
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert asked == before

    asyncio.run(listen())


def test_more_than_the_most_are_refused(service, monkeypatch):
    monkeypatch.setattr(live, "MOST_LISTENERS", 2)

    async def listen():
        app = build(service)
        browsers = [Browser(app).ask() for _ in range(2)]
        for browser in browsers:
            await browser.sees("event: stats")
        refused = Browser(app).ask()
        await refused.is_over()
        browsers[0].leave()
        await browsers[0].is_over()
        taken = Browser(app).ask()
        await taken.sees("event: stats")
        for browser in (browsers[1], taken):
            browser.leave()
            await browser.is_over()
        return refused

    refused = asyncio.run(listen())
    assert refused.status == 503
    assert "2 pages are open" in json.loads(refused.body)["error"]
    assert refused.headers["retry-after"]


def test_streams_end_when_the_router_is_to_stop(service):
    async def listen():
        browser = Browser(build(service)).ask()
        await browser.sees("event: stats")
        service.leaving = True
        await browser.is_over()

    asyncio.run(listen())


def test_streams_end_after_a_while(service, monkeypatch):
    monkeypatch.setattr(live, "LASTS_S", 0.01)

    async def listen():
        browser = Browser(build(service)).ask()
        await browser.is_over()
        return browser

    assert "event: stats" in asyncio.run(listen()).body


def test_a_report_that_fails_is_told_and_the_next_one_follows(service):
    report, failed = service.report, False

    async def fails_once():
        nonlocal failed
        if not failed:
            failed = True
            raise Unavailable("nobody is there")
        return await report()

    service.report = fails_once

    async def listen():
        browser = Browser(build(service)).ask()
        await browser.sees("event: stats")
        browser.leave()
        await browser.is_over()
        return events(browser.body)

    told = asyncio.run(listen())
    assert told[1][0] == "trouble"
    assert "nobody is there" in told[1][1]["error"]
    assert told[2][0] == "stats"
