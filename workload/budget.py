"""How many turns and blocks fit into the time that there is."""

from dataclasses import dataclass

OPEN_SHARE = 0.6
BLOCKS = 3
"""At least: from fewer no interval can be told."""
MOST_BLOCKS = 20
BLOCK_S, LEAST_BLOCK_S = 30.0, 5.0
LEAST_TURNS, MOST_TURNS = 20, 5_000
GAP_S = 1.0
"""After a block, for what a system still does when it has answered."""


@dataclass(frozen=True)
class Budget:
    """For one stream.

    Attributes:
        turns: requests to each system, closed loop.
        blocks: to each system, open loop, of `block_s` seconds each.
    """

    turns: int
    blocks: int
    block_s: float

    def block_requests(self, rate_per_s: float) -> int:
        return max(1, round(self.block_s * rate_per_s))


def budget(
    seconds: float,
    servers: int,
    turn_s: float,
    base_s: float,
    rate_per_s: float,
    turns: int | None = None,
    blocks: int | None = None,
    block_s: float | None = None,
) -> Budget:
    """
    Args:
        seconds: for one stream.
        servers: systems that get open-loop blocks.
        turn_s: all contenders once, closed loop.
        base_s: to compute the base DNN's answer to a picture beforehand.
        turns, blocks, block_s: what the user has fixed.
    """

    def round_s(block_s: float) -> float:
        return servers * (block_s + GAP_S) + rate_per_s * block_s * base_s

    fixed_s = (turns or 0) * (turn_s + base_s)
    share = 1.0 if turns is not None else OPEN_SHARE
    for_open_s = max(0.0, seconds - fixed_s) * share
    if block_s is None:
        wanted = blocks or BLOCKS
        fits = (for_open_s / wanted - servers * GAP_S) / (servers + rate_per_s * base_s or 1)
        block_s = BLOCK_S if blocks else min(BLOCK_S, max(LEAST_BLOCK_S, fits))
    if blocks is None:
        blocks = max(BLOCKS, min(MOST_BLOCKS, int(for_open_s / (round_s(block_s) or 1))))
    if turns is None:
        left_s = seconds - blocks * round_s(block_s)
        turns = max(LEAST_TURNS, min(MOST_TURNS, int(left_s / (turn_s + base_s))))
    return Budget(turns, blocks, block_s)
