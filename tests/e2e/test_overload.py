"""More than can be answered: the rest is refused at once, nothing is lost, and then all is well."""

import asyncio
from collections import Counter

import httpx

from cache_models.zoo.fashion import sample
from tests.e2e.conftest import stats
from workload.client.protocols import png

ASKED = 300


def test_of_a_crowd_some_are_answered_rightly_and_the_rest_is_told_to_come_again(shipped, asked):
    images, answers = asked
    bodies = [png(image) for image in images[:20]]

    async def crowd() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=ASKED)
        async with httpx.AsyncClient(base_url=shipped, timeout=60, limits=limits) as client:
            posts = (
                client.post("/predict?cache=off", content=bodies[i % 20]) for i in range(ASKED)
            )
            return await asyncio.gather(*posts)

    before = stats(shipped)["errors"].get("503", 0)
    given = asyncio.run(crowd())
    statuses = Counter(answer.status_code for answer in given)
    assert set(statuses) == {200, 503}
    assert statuses[200] >= 64
    for i, answer in enumerate(given):
        if answer.status_code == 503:
            assert answer.headers["Retry-After"] == "1" and "try again" in answer.json()["error"]
        else:
            assert answer.json()["class_id"] == answers[i % 20]
    refused = stats(shipped)["errors"].get("503", 0) - before
    assert refused <= statuses[503]  # most HAProxy has refused already
    after = httpx.post(f"{shipped}/predict", content=png(sample()[0][0]), timeout=60)
    assert after.status_code == 200


def test_what_nobody_wants_any_more_is_not_computed(shipped):
    """A deadline that has passed before anything has begun ends with 504, and costs nothing."""
    body = png(sample()[0][0])
    rows = sum(stage["rows"] for stage in stats(shipped)["stages"].values())
    for _ in range(5):
        late = httpx.post(
            f"{shipped}/predict?cache=off",
            content=body,
            headers={"X-Request-Timeout-Ms": "0.001"},
            timeout=60,
        )
        assert late.status_code == 504, late.text
    assert sum(stage["rows"] for stage in stats(shipped)["stages"].values()) == rows
