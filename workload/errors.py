"""What can go wrong in this room. Every message says what was found and what to do about it."""


class WorkloadError(Exception):
    """Base of all errors that a user can cause and mend."""


class ParameterError(WorkloadError, ValueError):
    """A name or a parameter that there is not, or a value that it cannot have."""


class ServerError(WorkloadError):
    """A server that does not answer as it must."""


class StartError(WorkloadError):
    """A system of a comparison that cannot be brought up."""
