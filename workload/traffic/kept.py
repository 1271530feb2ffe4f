"""Requests of a stream as files, in the order in which they would be sent: samples to build on."""

from pathlib import Path

from PIL import Image
from tqdm import tqdm

from workload.errors import ParameterError
from workload.samples import Samples, Sound, is_picture, wav

TEXTS = "requests.txt"


def keep(samples: Samples, folder: Path) -> None:
    """Each picture as a PNG and each sound as a WAV, by number; texts a line each in one file.

    Raises:
        ParameterError: the folder holds something already, or these are tensors.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ParameterError(f"{folder} is not empty: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    texts: list[str] = []
    for number, sample in enumerate(tqdm(samples, total=len(samples), desc="keep")):
        match sample:
            case str():
                texts.append(" ".join(sample.split()) + "\n")
            case Sound():
                (folder / f"{number:07}.wav").write_bytes(wav(sample))
            case _ if is_picture(sample):
                picture = sample[..., 0] if sample.shape[2] == 1 else sample
                Image.fromarray(picture).save(folder / f"{number:07}.png")
            case _:
                raise ParameterError("these are tensors, in an array already: build on that")
    if texts:
        (folder / TEXTS).write_text("".join(texts))
