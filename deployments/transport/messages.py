"""What replicas are asked and what they reply, by the name under which it travels."""

from cache_models.network.stages import (
    Activation,
    Answer,
    LookUp,
    Message,
    Remember,
    Remembered,
    Reply,
    Run,
    Verdict,
)

MESSAGES: dict[str, type[Message]] = {kind.__name__: kind for kind in (Run, LookUp, Remember)}
REPLIES: dict[str, type[Reply]] = {
    kind.__name__: kind for kind in (Activation, Answer, Verdict, Remembered)
}
