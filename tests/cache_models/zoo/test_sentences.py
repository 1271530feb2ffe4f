"""The encoder is BERT's, and packages of one source are for one use."""

import gzip
import json
import lzma
from pathlib import Path

import pytest
import torch

from cache_models.build.survey import candidate_names
from cache_models.errors import DataError
from cache_models.network.base_dnn import load
from cache_models.network.cutting import cut
from cache_models.network.tokens import Tokens
from cache_models.zoo.sentences.network import Encoder, Size
from cache_models.zoo.sentences.packages import SECTIONS, USES, packages, write
from cache_models.zoo.sentences.training import train
from cache_models.zoo.sentences.weights import renamed
from tests.heard import TOKENIZER

SMALL = Size(vocabulary=50, positions=16, width=16, hidden=32, heads=4, layers=2)
WEATHER = ("rain", "snow", "sun")


def lists(folder: Path, pack=bytes, suffix: str = "", sources: int = 60) -> Path:
    """Two packages of each source, in three sections."""
    entries, descriptions = [], []
    for i in range(2 * sources):
        source, section = f"source{i // 2}", SECTIONS[i // 2 % 3]
        made = f"Source: {source} (1.0)\n" if i % 2 else ""
        name = f"package{i}" if i % 2 else source
        entries.append(
            f"Package: {name}\n{made}Version: 1\nDescription: short\nDescription-md5: {i:032}\n"
            f"Section: contrib/{section}\n"
        )
        descriptions.append(
            f"Package: {name}\nDescription-md5: {i:032}\nDescription-en: {WEATHER[i // 2 % 3]}\n"
            f" some {i}\n more\n .\n Another paragraph\n"
        )
    folder.mkdir()
    for kind, stanzas in {"main_Packages": entries, "i18n_Translation-en": descriptions}.items():
        content = pack("\n".join(stanzas).encode())
        (folder / f"deb.debian.org_{kind}{suffix}").write_bytes(content)
    return folder


def test_the_encoder_is_that_of_bert():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50,
        max_position_embeddings=16,
        hidden_size=16,
        intermediate_size=32,
        num_attention_heads=4,
        num_hidden_layers=2,
    )
    bert = transformers.BertModel(config).eval()
    encoder = Encoder(SMALL).eval()
    encoder.load_state_dict(renamed(bert.state_dict()))
    ids = torch.randint(0, 50, (3, 8))
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3, [1] + [0] * 7])
    with torch.inference_mode():
        tokens = bert(input_ids=ids, attention_mask=mask).last_hidden_state
        there = mask.unsqueeze(-1)
        expected = (tokens * there).sum(1) / there.sum(1)
        assert torch.allclose(encoder(ids, mask), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("pack", "suffix"), [(bytes, ""), (gzip.compress, ".gz"), (lzma.compress, ".xz")]
)
def test_lists_are_read_however_they_are_compressed(tmp_path, pack, suffix):
    found = packages("head", lists(tmp_path / "lists", pack, suffix))
    assert "rain. some 12 more" in {package.text for package in found}
    assert {package.section for package in found} == set(SECTIONS[:3])


def test_packages_of_a_source_are_for_one_use(tmp_path):
    folder = lists(tmp_path / "lists")
    found = {use: packages(use, folder) for use in USES}
    sources = {use: {package.source for package in found[use]} for use in USES}
    assert sum(map(len, sources.values())) == len(set.union(*sources.values())) == 60
    assert len(found["head"]) == 2 * len(sources["head"])
    for use in ("caches", "service"):
        assert len(found[use]) == len(sources[use])


def test_a_source_of_many_packages_comes_no_sooner_than_others(tmp_path):
    folder = lists(tmp_path / "lists")
    order = [package.source for package in packages("caches", folder)]
    file = folder / "deb.debian.org_main_Packages"
    many = "".join(
        f"\nPackage: more{i}\nSource: {order[-1]}\nVersion: 1\nDescription: short\n"
        f"Description-md5: {0:032}\nSection: {SECTIONS[0]}\n"
        for i in range(50)
    )
    file.write_text(file.read_text() + many)
    assert [package.source for package in packages("caches", folder)] == order


def test_a_cache_may_be_behind_the_embeddings_from_which_nothing_is_computed():
    model = cut(load("tests.heard:sentences"))
    first = model[candidate_names(model)[0]]
    assert (first.name, first.with_mask) == ("encoder.embeddings", True)


def test_texts_are_written_as_data_takes_them(tmp_path):
    found = packages("caches", lists(tmp_path / "lists"))
    write(found, tmp_path / "out" / "caches.jsonl")
    lines = (tmp_path / "out" / "caches.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == [package.text for package in found]


def test_lists_without_descriptions_say_how_to_get_them(tmp_path):
    folder = lists(tmp_path / "lists")
    (folder / "deb.debian.org_i18n_Translation-en").unlink()
    with pytest.raises(DataError, match="Acquire::Languages=en"):
        packages("caches", folder)


def test_lists_that_are_broken_are_named(tmp_path):
    folder = lists(tmp_path / "lists", gzip.compress, ".gz")
    file = folder / "deb.debian.org_main_Packages.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"Packages\.gz"):
        packages("caches", folder)


def test_a_head_learns_sections_from_a_frozen_encoder(tmp_path):
    pytest.importorskip("tokenizers")
    torch.manual_seed(0)
    encoder = Encoder(SMALL)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    tokens = Tokens(TOKENIZER, 8)
    card = train(encoder, tokens, lists(tmp_path / "lists"), tmp_path / "head.safetensors")
    assert card["accuracy"] == 1.0 and (tmp_path / "head.safetensors").is_file()
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
