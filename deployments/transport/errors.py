"""The kinds of errors between router and replicas. Who asks acts on the kind, whatever way the
question went."""

from cache_models import cascade


class PlaceError(Exception):
    """A stage has not replied."""


class Lost(PlaceError):
    """The replica is gone or does not answer. Another one may, so it is asked once more."""


class Unshared(Lost):
    """One of the two cannot read the other's memory, though they are on one node."""


class Gone(PlaceError, cascade.Gone):
    """What was lent has been written over, since its reader was too late: nobody can read it."""


class Refused(PlaceError):
    """All replicas have as much to do as they may. No second try would find them idle."""


class Failed(PlaceError):
    """The replica computed and raised. It would again, and so would the others."""


KINDS: dict[str, type[PlaceError]] = {
    kind.__name__: kind for kind in (Lost, Unshared, Gone, Refused, Failed)
}
"""By the name under which they travel."""
