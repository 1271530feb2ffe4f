"""No request names a file: whatever paths stand in it, none is opened, listed or made."""

import sys
from urllib.parse import quote

import pytest

from tests.deployments.ingress.test_endpoints import OPERATOR, PICTURE, Client, FakeService

NAMES = ["/etc/gati-wanted", "../../../../etc/gati-wanted", "file:///etc/gati-wanted"]
NAMES += ["..\\..\\gati-wanted", "gati-wanted\0.png", "%2e%2e%2fgati-wanted"]
TOUCHED: list[str] = []


def _hook(event: str, args: tuple) -> None:
    """An audit hook stays as long as the process, so it only remembers what has the name."""
    if event == "open" or event.startswith(("os.", "shutil.", "glob.", "pathlib.", "socket.")):
        TOUCHED.extend(f"{event} {arg!r}" for arg in args if "gati-wanted" in repr(arg))


sys.addaudithook(_hook)


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setenv("GATI_ADMIN_TOKEN", "secret")
    return Client(FakeService())


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_request_names_no_file_is_touched(client, name):
    TOUCHED.clear()
    header = name.replace("\0", "")
    tensor = {"name": name, "shape": [1], "datatype": "BYTES", "data": [name]}
    region = {"parameters": {"shared_memory_region": name}}
    answers = [
        client.post("/predict", content=PICTURE, headers={"X-Stream": header}),
        client.post("/predict", content=PICTURE, headers={"X-Request-ID": header}),
        client.post("/predict", files={"image": (header, PICTURE)}),
        client.post("/predict", files={header: ("a", PICTURE)}),
        client.post("/predict", content=name.encode()),
        client.post("/predict", content=PICTURE, headers={"Content-Encoding": header}),
        client.post("/predict", content=PICTURE, headers={"Content-Type": header}),
        client.post("/v2/models/pets/infer", json={"inputs": [tensor]}),
        client.post("/v2/models/pets/infer", json={"inputs": [tensor | region]}),
        client.post("/v2/models/pets/infer", json={"parameters": {"cache": name}, "inputs": []}),
        client.request("POST", "/admin/mode", json={"mode": name}, headers=OPERATOR),
        client.request("POST", "/admin/rollback", json={"version": name}, headers=OPERATOR),
    ]
    for path in (quote(name, safe=""), quote(name)):
        answers += [
            client.request("GET", f"{before}/{path}")
            for before in ("/v2/models", "/static-offline-docs", "/docs", "/admin", "")
        ]
    assert all(answer.status_code < 500 for answer in answers)
    assert {answer.status_code for answer in answers} > {200, 404, 422}
    assert [what for what in TOUCHED if "static" not in what] == []


def test_files_of_the_page_of_documents_are_of_their_folder_alone(client):
    (page,) = (client.request("GET", "/docs").text for _ in range(1))
    assert "static-offline-docs" in page
    for path in ("..%2f__init__.py", "%2e%2e/__init__.py", "%2fetc%2fpasswd", "..%2f..%2f..%2fray"):
        assert client.request("GET", f"/static-offline-docs/{path}").status_code == 404
