"""What samples are wanted for, which says how many."""

from typing import Literal

from cache_models.promise.controller import Controller
from cache_models.promise.path import OFF

Need = Literal["all", "suspicion", "much", "little"]
"""Caches are off, and have to be proven anew; something speaks against them; service has just
begun, or the traffic has changed; nothing in particular."""
LEARNED = 1_000
"""Samples after which there is little more to learn, unless something changes."""
UNEXPLAINED = 0.9
"""Wrong answers beyond what is allowed that are a suspicion: the first one."""


def need_of(controller: Controller) -> Need:
    """What the threshold in service wants samples for."""
    if controller.served == OFF:
        return "all"
    if controller.unexplained >= UNEXPLAINED:
        return "suspicion"
    return "much" if controller.since < LEARNED else "little"
