"""Records as CSV, which pandas and a person can read."""

import csv
import io
from collections.abc import Callable, Sequence

from pydantic import BaseModel


def as_csv(records: Sequence[BaseModel], kind: type[BaseModel], form: Callable) -> str:
    """One line a record, its fields as columns.

    Args:
        kind: of the records, also where there are none.
        form: of one value, as it is to be written.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, list(kind.model_fields), lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: form(value) for name, value in record.model_dump().items()})
    return out.getvalue()
