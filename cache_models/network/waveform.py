"""From a sound file to the base DNN's input; the same when caches are learned and when served."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache_models.errors import DataError, UnreadableError

FORMATS = ("WAV", "FLAC", "OGG")
SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus"}
RATES = (1_000, 384_000)
"""Samples a second, of what is read."""
MOST_CHANNELS = 8
MARGIN_S = 0.05
"""Read on both sides of what is kept, so that its ends are resampled like its middle."""
MOST_REFUSED = 10_000
"""libsndfile 1.2.2 loses 6 KB whenever it refuses an OGG Vorbis. After so many, which are 60 MB, a
process reads OGG in processes of their own, which takes 0.4 s each."""

_refused = 0


@dataclass(frozen=True)
class Waveform:
    """One channel of a fixed length and rate, float32 in [-1, 1].

    Channels are averaged. A longer sound is cut to its middle, a shorter one stands in the middle
    of silence. Only what is kept is decoded, so a long file costs no more than a short one.

    Args:
        sample_rate: samples a second.
        samples: of an input.
    """

    sample_rate: int
    samples: int

    def read(self, file: bytes | Path) -> np.ndarray:
        """A WAV, FLAC or OGG (Vorbis, Opus) file as `(samples,)` float32.

        Raises:
            UnreadableError: it is none of these, or damaged.
            DataError: it is not what a sound may be; the message says what it has, and may have.
        """
        import soundfile

        global _refused
        ogg = file if isinstance(file, bytes) and b"OggS" in file else None  # maybe after tags
        if ogg and _refused >= MOST_REFUSED:
            return self._read_apart(ogg)
        source = io.BytesIO(file) if isinstance(file, bytes) else file
        try:
            with soundfile.SoundFile(source) as sound:
                _check(sound)
                read, rate = self._middle(sound), sound.samplerate
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            _refused += ogg is not None
            raise UnreadableError(f"not a readable {', '.join(FORMATS)} file: {error}") from error
        if not np.isfinite(read).all():
            raise DataError("the sound holds NaN or infinite values; all must be finite")
        return self._fitted(_resampled(read, rate, self.sample_rate))

    def _read_apart(self, file: bytes) -> np.ndarray:
        from cache_models.network import apart

        try:
            return apart.array(__name__, f"{self.sample_rate} {self.samples}", file)
        except ValueError as error:
            kind, _, why = str(error).partition(": ")
            unreadable = kind.endswith(UnreadableError.__name__)
            raise (UnreadableError if unreadable else DataError)(why) from error

    def _middle(self, sound) -> np.ndarray:
        """The frames that are kept, and a margin, as one channel, float32."""
        keep = round((self.samples / self.sample_rate + 2 * MARGIN_S) * sound.samplerate)
        start = max(0, sound.frames - keep) // 2
        if start:
            sound.seek(start)
        return sound.read(min(keep, sound.frames), dtype="float32", always_2d=True).mean(1)

    def _fitted(self, sound: np.ndarray) -> np.ndarray:
        if len(sound) >= self.samples:
            start = (len(sound) - self.samples) // 2
            return np.ascontiguousarray(sound[start : start + self.samples])
        before = (self.samples - len(sound)) // 2
        return np.pad(sound, (before, self.samples - len(sound) - before))


def _check(sound) -> None:
    if sound.format not in (*FORMATS, "WAVEX"):
        raise UnreadableError(f"the sound is {sound.format}; it may be {', '.join(FORMATS)}")
    if not RATES[0] <= sound.samplerate <= RATES[1]:
        raise DataError(
            f"the sound has {sound.samplerate} samples a second; it may have {RATES[0]} to "
            f"{RATES[1]}"
        )
    if sound.channels > MOST_CHANNELS:
        raise DataError(f"the sound has {sound.channels} channels; it may have {MOST_CHANNELS}")
    if not sound.frames:
        raise DataError("the sound is empty; send at least one sample")


def _resampled(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    import soxr

    return sound if rate == wanted else soxr.resample(sound, rate, wanted).astype(np.float32)


if __name__ == "__main__":
    _rate, _samples = map(int, sys.argv[1].split())
    np.save(sys.stdout.buffer, Waveform(_rate, _samples).read(sys.stdin.buffer.read()))
