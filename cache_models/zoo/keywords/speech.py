"""Words spoken by espeak-ng's voices over real music: synthetic speech, labelled by what was said.

Voices and pieces of music are divided between three uses, so that caches are learned, and shown, on
voices and music that the base DNN has never heard.
"""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from cache_models.errors import DataError
from cache_models.network.waveform import Waveform

Use = Literal["train", "caches", "service"]
USES: dict[Use, slice] = {"train": slice(0, 6), "caches": slice(6, 8), "service": slice(8, 10)}
"""Of every ten voices, and of every ten pieces, those that are for it."""

SECOND = Waveform(sample_rate=16_000, samples=16_000)
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, NOTHING = "another word", "no word"
CLASSES = (*KEYWORDS, UNKNOWN, NOTHING)
OTHER_WORDS = (
    *("bed", "bird", "cat", "dog", "eight", "five", "four", "happy", "house", "marvin", "nine"),
    *("one", "seven", "six", "three", "tree", "two", "wow", "zero", "music", "river", "window"),
)
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd")
MUSIC = Path("/usr/share/games/wesnoth/1.16/data/core/music")
PACKAGES = "apt-get install espeak-ng wesnoth-1.16-music"
Manner = tuple[str, int, int]
"""Of speaking: a voice, words a minute, a pitch."""
LOUDER_DB = (0.0, 20.0)
"""By how much a word is louder than the music behind it."""


@dataclass(frozen=True)
class Clips:
    """Sounds `(N, 16000)` float32, their labels `(N,)` int64, indices into `CLASSES`, and, where
    there are people, who speaks, `(N,)`."""

    sounds: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray | None = None


class Speech:
    """What is said for one use, and the music to say it over.

    Args:
        words_each: of a keyword; other words are as many as two keywords together.
        people: so many speak, each with a voice, a speed and a pitch of their own, up to 10 % more
            quickly or slowly each time; with 0 every word has another voice.

    Raises:
        DataError: espeak-ng or the music is not installed.
    """

    def __init__(self, use: Use, words_each: int, seed: int = 0, people: int = 0):
        self._rng = np.random.default_rng((seed, len(use)))
        self._music = [_loaded(path) for path in _of(use, sorted(MUSIC.glob("*.ogg")))]
        if not self._music or shutil.which("espeak-ng") is None:
            raise DataError(f"espeak-ng or {MUSIC} is not there: {PACKAGES}")
        voices = _of(use, _voices())
        said = [(i, word) for i, word in enumerate(KEYWORDS) for _ in range(words_each)]
        others = self._rng.choice(OTHER_WORDS, 2 * words_each)
        said += [(CLASSES.index(UNKNOWN), word) for word in others]
        self._speakers = self._rng.integers(people, size=len(said)) if people else None
        if self._speakers is None:
            manners = [self._manner(voices) for _ in said]
        else:
            each = [self._manner(voices) for _ in range(people)]
            manners = [self._once(each[person]) for person in self._speakers]
        asked = [(word, *manner) for (_, word), manner in zip(said, manners, strict=True)]
        with ThreadPoolExecutor() as pool:
            spoken = pool.map(lambda each: _spoken(*each), asked)
            words = list(tqdm(spoken, f"speak, {use}", len(asked), unit="word"))
        self._words, self._labels = np.stack(words), np.array([label for label, _ in said])

    def clips(self, count: int, nothing: float = 0.1) -> Clips:
        """So many, each a word drawn at random over music drawn at random.

        Args:
            nothing: share that holds music alone.
        """
        drawn = self._rng.integers(len(self._words), size=count)
        labels = self._labels[drawn]
        quiet = self._rng.random(count) < nothing
        labels[quiet] = CLASSES.index(NOTHING)
        sounds = np.empty((count, SECOND.samples), np.float32)
        for i, (row, alone) in enumerate(zip(drawn, quiet, strict=True)):
            sounds[i] = self._mixed(None if alone else self._words[row])
        return Clips(sounds, labels, None if self._speakers is None else self._speakers[drawn])

    def _manner(self, voices: list[str]) -> Manner:
        rng = self._rng
        voice = f"{rng.choice(ACCENTS)}+{rng.choice(voices)}"
        return voice, int(rng.integers(110, 221)), int(rng.integers(15, 86))

    def _once(self, manner: Manner) -> Manner:
        voice, words_a_minute, pitch = manner
        return voice, round(words_a_minute * self._rng.uniform(0.9, 1.1)), pitch

    def _mixed(self, word: np.ndarray | None) -> np.ndarray:
        rng = self._rng
        piece = self._music[rng.integers(len(self._music))]
        start = rng.integers(len(piece) - SECOND.samples)
        music = piece[start : start + SECOND.samples] / 32768
        music = music / max(1e-3, _loudness(music))
        level = 10 ** (rng.uniform(-40, -20) / 20)
        if word is None:
            return np.clip(level * music, -1, 1).astype(np.float32)
        shift = rng.integers(-1_600, 1_601)
        louder = 10 ** (rng.uniform(*LOUDER_DB) / 20)
        word = np.roll(word, shift) / max(1e-3, _loudness(word)) * louder
        return np.clip(level * (music + word), -1, 1).astype(np.float32)


def write(clips: Clips, folder: Path) -> None:
    """As WAV files of 16 bits, in a folder a class; names say who speaks, where that is known."""
    import soundfile

    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    labels = tqdm(clips.labels, str(folder))
    for i, (sound, label) in enumerate(zip(clips.sounds, labels, strict=True)):
        who = "" if clips.speakers is None else f"speaker{clips.speakers[i]}-"
        soundfile.write(folder / CLASSES[label] / f"{who}{i:05}.wav", sound, SECOND.sample_rate)


def _of(use: Use, things: list) -> list:
    return [thing for i in range(0, len(things), 10) for thing in things[i : i + 10][USES[use]]]


def _voices() -> list[str]:
    """Variants of espeak-ng's voice, by file."""

    def names() -> Iterator[str]:
        listed = subprocess.run(
            ["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True
        ).stdout
        for line in listed.splitlines()[1:]:
            file = line.split("!v/")[-1].split()[0]
            if not file.lower().startswith(("robosoft", "whisper")):  # which hardly speak
                yield file

    return sorted(names())


def _spoken(word: str, voice: str, words_a_minute: int, pitch: int) -> np.ndarray:
    done = subprocess.run(
        ["espeak-ng", "--stdout", "-v", voice, "-s", str(words_a_minute), "-p", str(pitch), word],
        capture_output=True,
    )
    if done.returncode:
        raise DataError(f"espeak-ng does not say {word!r} as {voice}: {done.stderr.decode()}")
    return SECOND.read(_with_length(done.stdout))


def _with_length(wav: bytes) -> bytes:
    """espeak-ng does not know the length when it writes the header."""
    body = len(wav) - 44
    sizes = (body + 36).to_bytes(4, "little"), body.to_bytes(4, "little")
    return wav[:4] + sizes[0] + wav[8:40] + sizes[1] + wav[44:]


def _loaded(path: Path) -> np.ndarray:
    """A minute and a half of a piece, 16 bits."""
    read = Waveform(SECOND.sample_rate, 90 * SECOND.sample_rate).read(path)
    return (read * 32767).astype(np.int16)


def _loudness(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(sound))))
