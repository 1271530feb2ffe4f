"""What a router asks the trainer on behalf of operators and `/stats`."""

import asyncio
from typing import Any

from ray.exceptions import RayError, RayTaskError

from deployments.follow.control_client import find_trainer
from deployments.ingress.errors import Conflict, Unavailable

TRAINER_S = 60.0


async def ask(method: str, *args) -> Any:
    """What the trainer's method returns; it may take as long as a round.

    Raises:
        Conflict: it refuses.
        Unavailable: it does not answer.
    """
    try:
        return await asyncio.wait_for(getattr(find_trainer(), method).remote(*args), TRAINER_S)
    except RayTaskError as error:
        raise Conflict(str(error.cause)) from error
    except (RayError, ValueError, TimeoutError) as error:
        raise Unavailable(f"the trainer does not answer: {error!r}") from error
