"""Train the shipped default base DNN: torchvision's ResNet-18 on Fashion-MNIST, from scratch.

Sizes rise (64, 112, 224 pixels) because a step at 224 costs twelve times one at 64. Each size has
its own warm-up and cosine decay, and the last one trains at the size that is served, batch norms
included. A checkpoint after every minute lets an interrupted run go on exactly where it was: the
order of the images and their augmentation are functions of (seed, stage, step) alone.
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import resnet18
from tqdm import tqdm

from cache_models.data.datasets import FASHION_CLASSES, fashion_mnist
from cache_models.network.preprocessing import Preprocessing

CHECKPOINT_S = 60

OPTIMIZER = (
    "SGD, Nesterov momentum 0.9, weight decay 5e-4; per stage 10 % linear warm-up, then cosine to "
    "0; flips and shifts of at most 1 pixel"
)

TRAIN_IMAGES = 50_000
"""The first so many of the training images train the base DNN; the other 10,000 are the caches'."""


@dataclass(frozen=True)
class Stage:
    """So many `images` at `size` pixels in batches of `batch`, up to the learning rate `lr`."""

    size: int
    images: int
    batch: int
    lr: float

    @property
    def steps(self) -> int:
        return self.images // self.batch


RECIPE = (
    Stage(size=64, images=100_000, batch=128, lr=0.10),
    Stage(size=112, images=30_000, batch=64, lr=0.04),
    Stage(size=224, images=20_480, batch=32, lr=0.02),
    Stage(size=224, images=44_000, batch=16, lr=0.012),
)


def pretrain(out: Path, seed: int = 0, recipe: tuple[Stage, ...] = RECIPE) -> dict:
    """Train, test on the 10,000 test images at the last size, and write `out` and its card.

    Args:
        out: the `.safetensors` file of the fp16 weights; `<out>.checkpoint` beside it while
            training, and `<stem>.json`, the card, at the end.

    Returns:
        The card: recipe, seed, minutes, test accuracy of the fp16 weights run in float32.
    """
    torch.manual_seed(seed)
    model = resnet18(num_classes=len(FASHION_CLASSES))
    minutes = fit(model, [{"params": list(model.parameters())}], out, seed, recipe)
    weights = round_to_fp16(model)
    accuracy = evaluate(model, recipe[-1].size)
    card = {
        "model": "torchvision.models.resnet18(num_classes=10)",
        "data": "Fashion-MNIST (MIT licence), first 50,000 training images",
        "recipe": [asdict(stage) for stage in recipe],
        "optimizer": OPTIMIZER,
        "seed": seed,
        "minutes": round(minutes, 1),
        "test_accuracy": accuracy,
        "classes": list(FASHION_CLASSES),
    }
    publish(weights, card, out)
    return card


def fit(
    model: nn.Module,
    groups: list[dict],
    out: Path,
    seed: int,
    recipe: tuple[Stage, ...],
    bf16: bool = False,
) -> float:
    """Train on the first `TRAIN_IMAGES` images; goes on from `<out>.checkpoint` if it is there.

    Args:
        groups: of parameters; `lr_scale`, if a group has it, multiplies the stages' learning rate.
        bf16: of convolutions and matrix products; weights, their steps and batch norms stay in
            float32.

    Returns:
        Minutes, those before an interruption included.
    """
    images, labels = fashion_mnist(train=True)
    images = torch.from_numpy(images[:TRAIN_IMAGES].transpose(0, 3, 1, 2).copy())
    labels = torch.from_numpy(labels[:TRAIN_IMAGES])
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9, weight_decay=5e-4, nesterov=True)
    checkpoint = _checkpoint(out)
    done, minutes_before = _resume(checkpoint, model, optimizer)

    started = saved = time.monotonic()
    minutes = minutes_before
    total = sum(stage.steps for stage in recipe)
    with tqdm(total=total, initial=done, desc="pretrain", unit="step", smoothing=0.02) as bar:
        for step, stage, lr, batch in _schedule(recipe, seed, len(images), start=done):
            pictures, truth = images[batch], labels[batch]
            loss = _train_step(model, optimizer, pictures, truth, stage.size, lr, step, bf16)
            bar.set_postfix(size=stage.size, loss=f"{loss:.3f}")
            bar.update()
            minutes = minutes_before + (time.monotonic() - started) / 60
            if time.monotonic() - saved > CHECKPOINT_S or step + 1 == total:
                _save_checkpoint(checkpoint, model, optimizer, step + 1, minutes)
                saved = time.monotonic()
    return minutes


def round_to_fp16(model: nn.Module) -> dict[str, Tensor]:
    """The weights as they are kept, which `model` then runs with, in float32."""
    weights = {name: value.half() if value.is_floating_point() else value
               for name, value in model.state_dict().items()}  # fmt: skip
    model.load_state_dict(weights)
    return weights


def publish(weights: dict[str, Tensor], card: dict, out: Path) -> None:
    """Write `out` and its card; the weights come last, so that they never lie without it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    partial = out.with_suffix(".partial")
    save_file({name: value.contiguous() for name, value in weights.items()}, partial)
    partial.replace(out)
    _checkpoint(out).unlink(missing_ok=True)


def evaluate(model: nn.Module, size: int) -> float:
    """Share of the 10,000 test images that `model` labels rightly at `size` pixels."""
    images, labels = fashion_mnist(train=False)
    return float((answers(model, images, size) == labels).mean())


def answers(model: nn.Module, images: np.ndarray, size: int) -> np.ndarray:
    """Labels `(N,)` of images `(N, h, w, C)` uint8, resized to `size` pixels."""
    preprocess = Preprocessing(crop_size=(size, size))
    model.eval()
    labels = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(images), 100), desc="test", unit="batch"):
            batch = torch.from_numpy(preprocess(images[start : start + 100]))
            scores = model(batch.contiguous(memory_format=torch.channels_last))
            labels.append(scores.argmax(1))
    return torch.cat(labels).numpy()


def _checkpoint(out: Path) -> Path:
    return out.with_suffix(".checkpoint")


def _schedule(
    recipe: tuple[Stage, ...], seed: int, count: int, start: int
) -> Iterator[tuple[int, Stage, float, Tensor]]:
    """Every step from `start` on: its number, stage, learning rate and the images of its batch."""
    step = 0
    for number, stage in enumerate(recipe):
        epochs = math.ceil(stage.images / count)
        order = np.random.default_rng((seed, number))
        indices = np.concatenate([order.permutation(count) for _ in range(epochs)])
        warm_up = max(1, stage.steps // 10)
        for k in range(stage.steps):
            if step >= start:
                decay = (k - warm_up) / max(1, stage.steps - warm_up)
                lr = stage.lr * (
                    (k + 1) / warm_up if k < warm_up else 0.5 + 0.5 * math.cos(math.pi * decay)
                )
                batch = indices[k * stage.batch : (k + 1) * stage.batch]
                yield step, stage, lr, torch.from_numpy(batch)
            step += 1


def _train_step(model, optimizer, images, labels, size: int, lr: float, step: int, bf16: bool):
    model.train()
    pictures = _augment(images, seed=step).permute(0, 2, 3, 1).numpy()
    batch = torch.from_numpy(Preprocessing(crop_size=(size, size))(pictures))
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        scores = model(batch.contiguous(memory_format=torch.channels_last))
    loss = nn.functional.cross_entropy(scores.float(), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


def _augment(images: Tensor, seed: int) -> Tensor:
    """Each image flipped with probability one half and shifted by at most one pixel each way."""
    rng = np.random.default_rng(seed)
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    height, width = images.shape[-2:]
    out = torch.empty_like(images)
    for i, (flip, dy, dx) in enumerate(
        zip(rng.random(len(images)) < 0.5, *rng.integers(0, 3, (2, len(images))), strict=True)
    ):
        image = padded[i, :, dy : dy + height, dx : dx + width]
        out[i] = image.flip(-1) if flip else image
    return out


def _save_checkpoint(path: Path, model, optimizer, step: int, minutes: float) -> None:
    tensors = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors[f"momentum.{i}"] = state["momentum_buffer"].contiguous()
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"step": str(step), "minutes": str(minutes)})
    partial.replace(path)


def _resume(path: Path, model, optimizer) -> tuple[int, float]:
    if not path.exists():
        return 0, 0.0
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    model.load_state_dict(
        {n.removeprefix("model."): v for n, v in tensors.items() if n.startswith("model.")}
    )
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, parameter in enumerate(parameters):
        optimizer.state[parameter]["momentum_buffer"] = tensors[f"momentum.{i}"]
    return int(metadata["step"]), float(metadata["minutes"])
