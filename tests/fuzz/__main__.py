"""`python -m tests.fuzz SURFACE`: a hundred thousand inputs, bred by libFuzzer to reach new lines
(atheris, `pip install -e '.[fuzz]'`), and how much memory they took.

Options of libFuzzer follow the name, such as `-runs=1000000` or `-max_total_time=600`.
"""

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["deployments", "cache_models", "python_multipart", "PIL"]):
    from tests.fuzz.surfaces import SURFACES, Surface, surface

RUNS, WARM = 100_000, 10_000


def rss_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def fuzz(name: str, met: Surface, *options: str) -> None:
    done, warm = 0, 0.0
    runs = next((int(o.split("=")[1]) for o in options if o.startswith("-runs=")), RUNS)

    def one(data: bytes) -> None:
        nonlocal done, warm
        met.meet(data)
        done += 1
        if done == WARM:
            warm = rss_mb()
        if done == runs:
            memory = f"{warm:.0f} MB after {WARM}, {rss_mb():.0f} MB at the end"
            print(f"{name}: {done} inputs, {memory}")

    with tempfile.TemporaryDirectory() as corpus:
        for i, seed in enumerate(met.seeds):
            Path(corpus, str(i)).write_bytes(seed)
        given = [f"-runs={RUNS}", "-max_len=8192", "-rss_limit_mb=2048", "-timeout=10", *options]
        atheris.Setup([sys.argv[0], *given, corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in SURFACES:
        sys.exit(f"python -m tests.fuzz SURFACE; one of {', '.join(SURFACES)}")
    with surface(sys.argv[1]) as met:
        fuzz(sys.argv[1], met, *sys.argv[2:])
