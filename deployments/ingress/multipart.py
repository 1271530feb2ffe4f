"""The one file that is wanted of a multipart body."""

import base64
import binascii
from collections.abc import Mapping

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from deployments.ingress.errors import InvalidInput, RequestError

FORM = "multipart/form-data"
MOST_PARTS = 1000
ENCODINGS = ("7bit", "8bit", "binary", "base64", "quoted-printable")
"""Of a part, as its Content-Transfer-Encoding says; none of the first three changes anything."""


def file_in(headers: Mapping[str, str], body: bytes, field: str) -> bytes:
    """The file in `body`: all of it, or the part `field` of a form, with a file name or without.

    Args:
        headers: of the request, with lower-case keys.

    Raises:
        InvalidInput: there is no such part, or several.
        RequestError: the form is damaged.
    """
    declared = headers.get("content-type", "")
    if declared.lstrip()[: len(FORM)].lower() != FORM:
        return body
    boundary = parse_options_header(declared)[1].get(b"boundary")
    if not boundary:
        raise RequestError(f"the header Content-Type is {declared!r}; it lacks the boundary")
    form = _Form(field)
    try:
        parser = MultipartParser(boundary, {
            "on_part_begin": form.part_begins,
            "on_header_field": form.header_name,
            "on_header_value": form.header_value,
            "on_header_end": form.header_ends,
            "on_headers_finished": form.content_begins,
            "on_part_data": form.content,
            "on_part_end": form.part_ends,
            "on_end": form.ends,
        })  # fmt: skip
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise RequestError(f"the multipart body cannot be read: {error}") from error
    if not form.ended:
        raise RequestError("the multipart body cannot be read: it ends before its last boundary")
    if len(form.files) != 1:
        raise InvalidInput(
            f"the multipart body has {len(form.files) or 'no'} parts {field!r} among "
            f"{sorted(set(form.names))}; it must have one"
        )
    return form.files[0]


class _Form:
    """What is told of a form, part by part. The library's own collector of parts reads base64 four
    characters at a time, line breaks among them, which MIME has after every 76.

    Attributes:
        names: of all parts.
        files: contents of those of the name that is wanted.
        ended: whether the last boundary was seen.
    """

    def __init__(self, field: str):
        self._field = field
        self.names: list[str] = []
        self.files: list[bytes] = []
        self.ended = False
        self.part_begins()
        self._begin_header()

    def part_begins(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_ends(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._begin_header()

    def _begin_header(self) -> None:
        self._name, self._value = b"", b""

    def content_begins(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        name = parse_options_header(disposition)[1].get(b"name")
        if name is None:
            raise RequestError(
                f"the multipart body cannot be read: its part {len(self.names) + 1} has no name in "
                f"its header Content-Disposition"
            )
        self.names.append(name.decode(errors="replace"))
        if len(self.names) > MOST_PARTS:
            raise RequestError(f"the multipart body has more than {MOST_PARTS} parts")

    def content(self, data: bytes, start: int, end: int) -> None:
        if self.names[-1] == self._field:
            self._pieces.append(data[start:end])

    def part_ends(self) -> None:
        if self.names[-1] == self._field:
            coding = self._headers.get(b"content-transfer-encoding", b"7bit")
            coded = coding.decode("latin-1").strip().lower()
            self.files.append(_decoded(b"".join(self._pieces), coded, self._field))

    def ends(self) -> None:
        self.ended = True


def _decoded(content: bytes, encoding: str, field: str) -> bytes:
    match encoding:
        case "7bit" | "8bit" | "binary":
            return content
        case "base64":
            try:
                return base64.b64decode(b"".join(content.split()), validate=True)
            except binascii.Error as error:
                raise RequestError(
                    f"the part {field!r} of the multipart body cannot be read as base64: {error}"
                ) from error
        case "quoted-printable":
            return binascii.a2b_qp(content)
    raise RequestError(
        f"the part {field!r} of the multipart body cannot be read: its Content-Transfer-Encoding "
        f"is {encoding!r}; it may be {', '.join(ENCODINGS)}"
    )
