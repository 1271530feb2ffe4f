"""The one file that is wanted of a multipart body."""

from collections.abc import Mapping

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from deployments.ingress.errors import InvalidInput, RequestError

FORM = "multipart/form-data"
MOST_PARTS = 1000
_IN_MEMORY = {"MAX_MEMORY_FILE_SIZE": float("inf"), "UPLOAD_ERROR_ON_BAD_CTE": True}
"""No temporary files, since the body is in memory anyway."""


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
    names: list[str] = []
    files: list[bytes] = []

    def add(part: Field | File) -> None:
        name = (part.field_name or b"").decode(errors="replace")
        names.append(name)
        if len(names) > MOST_PARTS:
            raise RequestError(f"the multipart body has more than {MOST_PARTS} parts")
        if name == field:
            files.append(_content(part))

    ends: list[bool] = []
    try:
        parser = FormParser(
            FORM, add, add, lambda: ends.append(True), boundary=boundary, config=_IN_MEMORY
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise RequestError(f"the multipart body cannot be read: {error}") from error
    if not ends:
        raise RequestError("the multipart body cannot be read: it ends before its last boundary")
    if len(files) != 1:
        raise InvalidInput(
            f"the multipart body has {len(files) or 'no'} parts {field!r} among "
            f"{sorted(set(names))}; it must have one"
        )
    return files[0]


def _content(part: Field | File) -> bytes:
    if isinstance(part, Field):
        return part.value or b""
    part.file_object.seek(0)
    return part.file_object.read()
