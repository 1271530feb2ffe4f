"""The image in a form, as clients write forms."""

import base64

import httpx
import pytest

from deployments.ingress.errors import RequestError
from deployments.ingress.multipart import file_in

IMAGE = bytes(range(256)) * 20


def form(*parts: tuple[str, bytes], boundary: str = "bound", declared: str = ""):
    """Headers and body of one whose parts are (headers, content)."""
    body = b"".join(
        b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary.encode(), headers.encode(), content)
        for headers, content in parts
    )
    declared = declared or f"multipart/form-data; boundary={boundary}"
    return {"content-type": declared}, body + b"--%b--\r\n" % boundary.encode()


def part(name: str, content: bytes = IMAGE, more: str = "") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"{more}', content


def sent(name: str, content: bytes) -> tuple[dict[str, str], bytes]:
    request = httpx.Request("POST", "http://x", files={name: ("picture", content)})
    return {"content-type": request.headers["content-type"]}, request.read()


def test_without_a_form_the_image_is_the_body():
    for declared in ({}, {"content-type": "image/png"}, {"content-type": "application/json"}):
        assert file_in(declared, IMAGE, "image") == IMAGE


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_the_image_has_a_file_name_or_none_and_any_size(size):
    image = bytes(size)
    assert file_in(*sent("image", image), "image") == image
    assert file_in(*form(part("image", image)), "image") == image
    assert file_in(*form(part("image", image, '; filename=""')), "image") == image
    assert file_in(*form(part("image", image, "\r\nContent-Type: image/png")), "image") == image


@pytest.mark.parametrize(
    "declared",
    [
        "Multipart/Form-Data; boundary=bound",
        "MULTIPART/FORM-DATA;BOUNDARY=bound",
        'multipart/form-data; boundary="bound"',
        "multipart/form-data; charset=utf-8; boundary=bound",
        " multipart/form-data ; boundary=bound; x=y",
    ],
)
def test_the_form_is_declared_in_any_case_and_quoted_or_not(declared):
    assert file_in(*form(part("image"), declared=declared), "image") == IMAGE


def test_a_quoted_boundary_may_hold_what_an_unquoted_may_not():
    boundary = "a b:c;d=e"
    declared = f'multipart/form-data; boundary="{boundary}"'
    assert file_in(*form(part("image"), boundary=boundary, declared=declared), "image") == IMAGE


def test_other_parts_are_left_alone():
    parts = part("note", b"hello"), part("image"), part("other", b"x", '; filename="a.png"')
    assert file_in(*form(*parts), "image") == IMAGE
    assert file_in(*form(*reversed(parts)), "image") == IMAGE


def test_headers_of_a_part_are_written_in_any_case_and_its_content_in_any_encoding():
    headers = "CONTENT-DISPOSITION: FORM-DATA; NAME=image\r\ncontent-transfer-encoding: Base64"
    assert file_in(*form((headers, base64.b64encode(IMAGE))), "image") == IMAGE


@pytest.mark.parametrize("length", [1, 2, 3, 56, 57, 58, 5120, 200_000])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_base64_has_line_breaks_as_mime_writes_it(length, end):
    image = (IMAGE * 40)[:length]
    written = base64.encodebytes(image).replace(b"\n", end)
    named = part("image", written, "\r\nContent-Transfer-Encoding: base64")
    assert file_in(*form(part("note", b"x"), named), "image") == image


def test_quoted_printable_is_read_as_well():
    named = part("image", b"a=3Db=\r\nc", "\r\nContent-Transfer-Encoding: quoted-printable")
    assert file_in(*form(named), "image") == b"a=bc"


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (form(part("picture")), 422, r"no parts 'image' among \['picture'\]; it must have one"),
        (form(part("image"), part("image")), 422, "2 parts 'image'"),
        (form(), 422, "no parts 'image' among"),
        (({"content-type": "multipart/form-data"}, b"x"), 400, "lacks the boundary"),
        (({"content-type": "multipart/form-data; boundary="}, b"x"), 400, "lacks the boundary"),
        (({"content-type": "multipart/form-data; boundary=" + "x" * 300}, b"x"), 400, "read"),
        (({"content-type": "multipart/form-data; boundary=b"}, b""), 400, "cannot be read"),
        (({"content-type": "multipart/form-data; boundary=b"}, b"no form"), 400, "cannot be read"),
        ((form(part("image"))[0], form(part("image"))[1][:-20]), 400, "before its last boundary"),
        (form(("X: y", IMAGE)), 400, "cannot be read: its part 1 has no name"),
        (form(part("image", b"%", "\r\nContent-Transfer-Encoding: base64")), 400, "as base64"),
        (form(part("image", b"YWJ", "\r\nContent-Transfer-Encoding: base64")), 400, "as base64"),
        (form(part("image", b"%", "\r\nContent-Transfer-Encoding: zip")), 400, "may be 7bit, 8bit"),
        (form(*[part("a", b"")] * 1001), 400, "more than 1000 parts"),
    ],
)
def test_a_form_that_cannot_be_read_is_named(request_, status, message):
    with pytest.raises(RequestError, match=message) as caught:
        file_in(*request_, "image")
    assert caught.value.status == status
