"""A server that notes what it is asked."""

import time

import numpy as np

PICTURES = [np.full((4, 4, 1), i, np.uint8) for i in range(12)]
TOOK_S = 0.002
ANSWER = {"class_id": 1, "exit": "base", "cache_version": None}


class Told:
    """What a server was asked, in order."""

    def __init__(self, answer: dict):
        self.answer, self.bodies = answer, []

    def __call__(self, _: str, body: bytes) -> dict:
        self.bodies.append(body)
        time.sleep(TOOK_S)
        return self.answer
