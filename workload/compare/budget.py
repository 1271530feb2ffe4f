"""How many requests and blocks fit into the time that there is."""

from dataclasses import dataclass

OPEN_SHARE = 0.6
BLOCKS = 3
"""At least: from fewer no interval can be told."""
MOST_BLOCKS = 20
BLOCK_S, LEAST_BLOCK_S = 30.0, 5.0
LEAST_REQUESTS, MOST_REQUESTS = 20, 5_000
GAP_S = 1.0
"""After a block, for what a system still does when it has answered."""


@dataclass(frozen=True)
class Budget:
    """For one stream.

    Attributes:
        requests: to each system, closed loop.
        blocks: to each system, open loop, of `block_s` seconds each.
    """

    requests: int
    blocks: int
    block_s: float

    def block_requests(self, rate_per_s: float) -> int:
        return max(1, round(self.block_s * rate_per_s))

    def within(self, most: int, rate_per_s: float) -> "Budget":
        """Where there are no more than `most` requests in all, loop and blocks are cut alike."""
        size = self.block_requests(rate_per_s)
        if (total := self.requests + self.blocks * size) <= most:
            return self
        blocks, size = min(self.blocks, most - 1), max(1, size * most // total)
        return Budget(most - blocks * size, blocks, size / rate_per_s)


def budget(
    seconds: float,
    servers: int,
    once_s: float,
    base_s: float,
    rate_per_s: float,
    requests: int | None = None,
    blocks: int | None = None,
    block_s: float | None = None,
) -> Budget:
    """
    Args:
        seconds: for one stream.
        servers: systems that get open-loop blocks.
        once_s: one request to every contender, closed loop.
        base_s: to compute the base DNN's answer to a picture beforehand.
        requests, blocks, block_s: what the user has fixed.
    """

    def round_s(block_s: float) -> float:
        return servers * (block_s + GAP_S) + rate_per_s * block_s * base_s

    fixed_s = (requests or 0) * (once_s + base_s)
    share = 1.0 if requests is not None else OPEN_SHARE
    for_open_s = max(0.0, seconds - fixed_s) * share
    if block_s is None:
        wanted = blocks or BLOCKS
        fits = (for_open_s / wanted - servers * GAP_S) / (servers + rate_per_s * base_s or 1)
        block_s = BLOCK_S if blocks else min(BLOCK_S, max(LEAST_BLOCK_S, fits))
    if blocks is None:
        blocks = max(BLOCKS, min(MOST_BLOCKS, int(for_open_s / (round_s(block_s) or 1))))
    if requests is None:
        left_s = seconds - blocks * round_s(block_s)
        requests = max(LEAST_REQUESTS, min(MOST_REQUESTS, int(left_s / (once_s + base_s))))
    return Budget(requests, blocks, block_s)
