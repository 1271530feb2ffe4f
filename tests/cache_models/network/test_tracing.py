"""What torch.fx cannot trace is captured by torch.export, and cut at the same kind of places."""

import pytest
import torch
from torch import nn

from cache_models.errors import UntraceableModelError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import CutModel, cut, run
from cache_models.network.description import ModelDescription
from cache_models.network.engine.export import export
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.partition_module import partition_modules
from cache_models.network.passengers import BATCHES

TOKENS, WIDTH = 16, 12


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens, mask):
        heads = self.norm(tokens).view(tokens.size(0), tokens.size(1), 2, -1).transpose(1, 2)
        mixed = nn.functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=mask)
        mixed = mixed.transpose(1, 2).reshape(tokens.shape)
        return tokens + self.mix(mixed)


class Base(nn.Module):
    """Patches with a class token, in blocks."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, 4, stride=4)
        self.class_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, TOKENS + 1, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = nn.Linear(WIDTH, 5)

    def embed(self, x):
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), patches], dim=1)
        return tokens + self.positions

    def mask(self, tokens):
        return None

    def forward(self, x):
        tokens = self.embed(x)
        mask = self.mask(tokens)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return self.head(tokens[:, 0])


class ShapeInPython(Base):
    def embed(self, x):
        if x.shape[-1] != 16:
            raise ValueError("pictures must be 16 wide")
        return super().embed(x)


class LoopOverShape(Base):
    def embed(self, x):
        tokens = super().embed(x)
        return torch.cat([tokens[:, i : i + 1] * (i + 1) for i in range(tokens.shape[1])], dim=1)


class MaskOfOnes(Base):
    """As transformers makes it: for each row, though all are alike."""

    def mask(self, tokens):
        rows, length, _ = tokens.shape
        return torch.ones(rows, length, dtype=torch.bool)[:, None, None, :].expand(
            rows, 1, length, length
        )


class CausalMask(Base):
    def mask(self, tokens):
        length = tokens.shape[1]
        mask = torch.full((length, length), float("-inf"))
        return mask.triu_(diagonal=1)


class FixedSizes(Base):
    """The batch size is read once, and used to the end."""

    def forward(self, x):
        if x.dim() != 4:
            raise ValueError("no pictures")
        rows = x.size(0)
        tokens = self.embed(x)
        for block in self.blocks:
            tokens = block(tokens, None).view(rows, TOKENS + 1, WIDTH)
        return self.head(tokens.view(rows, -1)[:, :WIDTH])


class OptionalInputs(Base):
    def forward(self, x, mask=None, scale: float = 1.0):
        return super().forward(x if mask is None else x * mask) * scale


CASES = (ShapeInPython, LoopOverShape, MaskOfOnes, CausalMask, FixedSizes, OptionalInputs)


def base_of(module: nn.Module) -> BaseDNN:
    torch.manual_seed(0)
    module = module.eval().requires_grad_(False)
    return BaseDNN("mine:model", module, ModelDescription((3, 16, 16), tuple("abcde")))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.__name__)
def cut_case(request) -> tuple[BaseDNN, CutModel]:
    base = base_of(request.param())
    return base, cut(base)


def test_slices_give_the_modules_output_at_every_batch_size(cut_case):
    base, model = cut_case
    names = [point.name for point in model.cut_points]
    with torch.inference_mode():
        for rows in (1, 2, 3, 5):
            inputs = torch.randn(rows, 3, 16, 16)
            for subset in (names, names[1::2], []):
                assert torch.equal(run(model.slices(subset), inputs), base.module(inputs))


def test_blocks_are_cut_points_by_their_names(cut_case):
    _, model = cut_case
    shapes = {point.name: point.shape for point in model.cut_points}
    assert shapes["input"] == (3, 16, 16)
    ends = [name for name in shapes if name.startswith("blocks.") and name.count(".") == 1]
    if "blocks.0" in ends:
        assert ends == ["blocks.0", "blocks.1", "blocks.2"]
    else:  # what is done to a block's output after it belongs to nobody
        assert sum(shape == (TOKENS + 1, WIDTH) for shape in shapes.values()) >= 3


def test_activations_may_arrive_otherwise_in_memory(cut_case):
    base, model = cut_case
    activation = torch.randn(3, 3, 16, 16)
    with torch.inference_mode():
        whole = base.module(activation)
        for part in model.slices([point.name for point in model.cut_points]):
            activation = part(activation.contiguous())
    torch.testing.assert_close(activation, whole)


def test_slices_have_onnx_graphs_for_any_batch_size(cut_case, tmp_path):
    base, model = cut_case
    middle = model.cut_points[len(model.cut_points) // 2].name
    first, last = partition_modules(model, [middle], base.description)
    inputs = torch.randn(3, 3, 16, 16)
    for part in (first, last):
        export(part, [inputs[:2]], tmp_path / "part.onnx")
        with torch.inference_mode():
            expected = part(inputs)
        found = OnnxRuntime(tmp_path / "part.onnx", threads=1)(inputs.numpy())
        torch.testing.assert_close(torch.tensor(found[1]), expected[1], rtol=1e-4, atol=1e-5)
        inputs = expected[1].contiguous()


class OneBatchSizeAlone(Base):
    def forward(self, x):
        if x.shape[0] != 2:
            raise ValueError("two at a time")
        return super().forward(x)


def test_a_batch_size_that_is_fixed_is_refused():
    with pytest.raises(UntraceableModelError, match="batch"):
        cut(base_of(OneBatchSizeAlone()))


class BranchOnValues(Base):
    def forward(self, x):
        if x.mean().item() > 0:
            x = -x
        return super().forward(x)


def test_a_branch_on_values_is_refused_with_its_line_and_a_remedy():
    with pytest.raises(UntraceableModelError, match=r"x\.mean\(\)\.item\(\) > 0.*torch\.where"):
        cut(base_of(BranchOnValues()))


class WrittenMask(Base):
    """A mask that is made of nothing that came in, and then written to with what did."""

    def mask(self, tokens):
        mask = torch.zeros(tokens.shape[0], 1, 1, tokens.shape[1])
        mask[:, 0, 0] += tokens.mean(2)
        return mask


def test_what_is_written_to_is_made_by_no_other_slice():
    base = base_of(WrittenMask())
    model = cut(base)
    inputs = torch.randn(BATCHES[1], 3, 16, 16)
    with torch.inference_mode():
        slices = model.slices([point.name for point in model.cut_points])
        assert torch.equal(run(slices, inputs), base.module(inputs))
    assert not any(point.name.startswith("blocks.0") for point in model.cut_points)
