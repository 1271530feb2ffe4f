"""Tests of the promise that have been spent on the window's samples."""

from cache_models.follow.journal import Journal


class SpentTests(Journal):
    """Of a `TrafficLog`."""

    @property
    def tests(self) -> int:
        """Tests of the promise that have read a sample which is still in the window.

        With the k-th `error_share` for the test after k - 1 such ones: of all tests while one
        window's worth of samples comes, each counts those before it, so that the chance that any
        of them passes what breaks the promise is at most the whole error probability. Whatever
        was spent before the window was replaced, or ended, is there again; so this bounds each
        window, not all of them together.
        """
        (first,) = self._db.execute(
            f"SELECT min(id) FROM samples WHERE weight > 0 AND {self._window}", self._ended()
        ).fetchone()
        return 0 if first is None else sum(newest >= first for newest in self._newest_read())

    def _newest_read(self) -> list[int]:
        """The newest sample that was there at each test."""
        read = self.state("tests", [])
        if isinstance(read, int):  # once they were counted for ever
            read = [self._newest_id()] * read
            self.set_state("tests", read)
        return read

    def _newest_id(self) -> int:
        """Of all samples; 0 where there are none."""
        return self._db.execute("SELECT ifnull(max(id), 0) FROM samples").fetchone()[0]

    def spend_test(self) -> None:
        """Before any test sample is read: from now on this test's share of the error probability is
        used, also if a crash cuts it short.

        Raises:
            ArtifactError: it cannot be told elsewhere, where another trainer would not know of it.
        """
        with self.transaction():
            newest, tests = self._newest_id(), self.tests
            self.set_state("tests", [*self._newest_read()[-tests:], newest] if tests else [newest])
        self.tell()

    @property
    def _window(self) -> str:
        """Condition for the samples in the window, and in `_ended` its parameters."""
        raise NotImplementedError

    def _ended(self) -> dict[str, int]:
        raise NotImplementedError
