"""BERT written out in plain PyTorch against transformers', its files, and its frozen part."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.errors import BadData, MissingData, RequestError, SubpopError
from engine.models.bert import files as bert_files
from engine.models.bert.bert import TRIM, Bert, BertEncoder, last_layer_init, last_layer_of
from engine.models.bert.files import BertShape, BertSource

SHAPE = BertShape(width=16, layers=3, heads=2, inner=24, vocabulary=50, positions=40, std=0.3)
LENGTH = 12


def tokens(rows: int = 5, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    found = torch.randint(0, 50, (rows, LENGTH), generator=draw, dtype=torch.int32)
    lengths = torch.randint(2, LENGTH + 1, (rows,), generator=draw)
    return torch.where(torch.arange(LENGTH) < lengths[:, None], found, -1)


def theirs(shape: BertShape, classes: int = 2):  # type: ignore[no-untyped-def]
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.width, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        intermediate_size=shape.inner, max_position_embeddings=shape.positions, num_labels=classes, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BertForSequenceClassification(config).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As save_pretrained writes it, with the prefix."""
    path = tmp_path_factory.mktemp("bert")
    theirs(SHAPE).save_pretrained(path)
    return path


def test_outputs_and_gradients_are_those_of_transformers(folder: Path) -> None:
    own, source = theirs(SHAPE).double(), bert_files.of_folder(folder)
    bert = Bert(source, 2, LENGTH)
    params = bert.init(torch.Generator().manual_seed(0), torch.float64)
    params[-2:] = [p.detach().clone() for p in (own.classifier.weight, own.classifier.bias)]
    ids = bert.pixels(tokens())
    for p in params:
        p.requires_grad_()
    logits = bert.logits(params, ids)
    out = own(input_ids=ids.clamp(min=0), attention_mask=(ids >= 0).long(), output_hidden_states=True)
    torch.testing.assert_close(logits, out.logits, atol=1e-10, rtol=0)
    real = (ids >= 0)[..., None]
    torch.testing.assert_close(bert.states_of(params, ids) * real, out.hidden_states[-2] * real, atol=1e-10, rtol=0)
    mine = torch.autograd.grad(logits.square().sum(), params)
    named = {name.removeprefix("bert."): p for name, p in own.named_parameters()}
    its = torch.autograd.grad(out.logits.square().sum(), [named[name] for name in bert.names])
    for name, a, b in zip(bert.names, mine, its, strict=True):
        if "word_embeddings" in name:  # transformers gives padding's word no gradient; nothing reads it
            a, b = a[1:], b[1:]
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0, msg=name)


def test_the_last_layer_on_states_is_the_whole(folder: Path) -> None:
    source = bert_files.of_folder(folder)
    bert, layer = Bert(source, 3, LENGTH), last_layer_of(source, 3)
    last = last_layer_init(source, layer, torch.Generator().manual_seed(4))
    params = bert.init(torch.Generator().manual_seed(4))
    params[-2:] = last[-2:]
    ids = bert.pixels(tokens())
    found = layer.logits(last, BertEncoder(source, LENGTH).states(tokens()), ids >= 0)
    torch.testing.assert_close(found, bert.logits(params, ids), atol=1e-5, rtol=1e-4)


def test_clean_rows_lose_the_same_numbers_whatever_follows_them() -> None:
    bert = Bert(BertSource(SHAPE, None, "random"), 2, LENGTH)
    params = bert.init(torch.Generator().manual_seed(0), torch.float64)

    def logits(x: Tensor, seed: int) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return bert.logits(params, bert.pixels(x), training=True)

    clean, more = tokens(4), torch.cat([tokens(4), tokens(3, seed=9)])
    torch.testing.assert_close(logits(more, 1)[:4], logits(clean, 1), atol=1e-12, rtol=0)
    assert not torch.allclose(logits(clean, 1), logits(clean, 2))
    assert not torch.allclose(logits(clean, 1), bert.logits(params, bert.pixels(clean)))
    before = torch.get_rng_state()
    bert.logits(params, bert.pixels(clean), training=True)
    assert before.equal(torch.get_rng_state())


def test_padding_is_cut_and_is_nothing() -> None:
    bert = Bert(BertSource(SHAPE, None, "random"), 2, 40)
    params = bert.init(torch.Generator().manual_seed(0), torch.float64)
    short = torch.cat([tokens(), torch.full((5, 28), -1, dtype=torch.int32)], 1)
    assert bert.pixels(short).shape == (5, TRIM)
    torch.testing.assert_close(bert.logits(params, bert.pixels(short)), bert.logits(params, short.long()), atol=1e-12, rtol=0)


def test_representations(folder: Path) -> None:
    bert = Bert(bert_files.of_folder(folder), 2, LENGTH)
    params = bert.init(torch.Generator().manual_seed(0))
    ids = bert.pixels(tokens())
    states = bert.states_of(params, ids)
    row = states[2][ids[2] >= 0]
    torch.testing.assert_close(bert.layer_of(params, ids, "hidden")[2], row.mean(0))
    flat = bert.layer_of(params, ids, "tokens")
    assert flat.shape == (5, LENGTH * SHAPE.width)
    torch.testing.assert_close(flat[2].view(LENGTH, -1)[: len(row)], row)
    with pytest.raises(RequestError, match="pool1"):
        bert.layer_of(params, ids, "pool1")


def test_random_weights_are_drawn_once_for_the_frozen_part_and_anew_for_each_trial() -> None:
    source = BertSource(SHAPE, None, "random")
    assert BertEncoder(source, LENGTH, 1).digest == BertEncoder(source, LENGTH, 1).digest != BertEncoder(source, LENGTH, 2).digest
    layer = last_layer_of(source, 2)
    a, b = (last_layer_init(source, layer, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert not torch.equal(a[0], b[0])


def test_a_pooler_that_is_not_there_is_drawn(folder: Path) -> None:
    source = bert_files.of_folder(folder)
    assert source.tensors is not None
    without = BertSource(source.shape, {k: v for k, v in source.tensors.items() if "pooler" not in k}, "x")
    bert = Bert(without, 2, LENGTH)
    params = dict(zip(bert.names, bert.init(torch.Generator().manual_seed(0)), strict=True))
    assert float(params["pooler.dense.weight"].std()) > 0
    assert params["embeddings.LayerNorm.weight"].equal(source.tensors["embeddings.LayerNorm.weight"])


def test_operations_are_counted() -> None:
    bert = Bert(BertSource(bert_files.ARCHITECTURES["bert-base"], None, ""), 2, 256)
    dense = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    assert bert.operations(2) == pytest.approx(2 * 2 * 256 * (dense + 12 * 2 * 256 * 768), rel=1e-3)


# ---- files ----------------------------------------------------------------------------------------------------------


def copied(folder: Path, to: Path, leave: str = "") -> Path:
    for path in folder.iterdir():
        if path.name != leave:
            (to / path.name).write_bytes(path.read_bytes())
    return to


def changed(folder: Path, **keys: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
    return folder


def test_a_folder_without_safetensors(folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path, leave="model.safetensors")
    with pytest.raises(BadData, match=r"no model\.safetensors; load the model"):
        bert_files.of_folder(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(BadData, match=r"only pytorch_model\.bin, whose kind can run code"):
        bert_files.of_folder(tmp_path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model_type": "gpt2"}, "gpt2"),
        ({"hidden_size": 32}, "does not fit"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_hidden_layers": 4}, "lacks 16 of the"),
        ({"num_attention_heads": 3}, "3 heads"),
        ({"hidden_act": "swish"}, "swish"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob"),
        ({"is_decoder": True}, "decoder"),
    ],
)
def test_a_config_that_is_not_its_own(folder: Path, tmp_path: Path, keys: dict[str, object], message: str) -> None:
    with pytest.raises(BadData, match=message):
        bert_files.of_folder(changed(copied(folder, tmp_path), **keys))


def test_files_that_are_damaged(folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:500])
    with pytest.raises(BadData, match="cut short or damaged"):
        bert_files.of_folder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadData, match="cannot be read"):
        bert_files.of_folder(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(MissingData, match=r"no config\.json"):
        bert_files.of_folder(tmp_path)
    with pytest.raises(MissingData, match="no such folder"):
        bert_files.of_folder(tmp_path / "nowhere")


def test_names_without_the_prefix_and_weights_in_parts(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = {name.removeprefix("bert."): t for name, t in load_file(folder / "model.safetensors").items()}
    names = sorted(tensors)
    parts = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    copied(folder, tmp_path, leave="model.safetensors")
    for file, some in parts.items():
        save_file({name: tensors[name] for name in some}, tmp_path / file)
    where = {name: file for file, some in parts.items() for name in some}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    found, whole = bert_files.of_folder(tmp_path), bert_files.of_folder(folder)
    assert found.tensors is not None
    assert whole.tensors is not None
    assert found.tensors.keys() == whole.tensors.keys()
    assert bert_files.digest_of(found.tensors, SHAPE) == bert_files.digest_of(whole.tensors, SHAPE)
    assert set(found.checksums()) == {"a.safetensors", "b.safetensors"}
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(MissingData, match=r"b\.safetensors: there is no such file of weights"):
        bert_files.of_folder(tmp_path)


def test_what_is_asked_for_wrongly(folder: Path) -> None:
    with pytest.raises(SubpopError, match="bert-base"):
        bert_files.find("random", None, "bert-bse")
    with pytest.raises(RequestError, match=r"model\.name"):
        bert_files.find("hub", None, None)
    with pytest.raises(RequestError, match="40 tokens, not 41"):
        Bert(bert_files.of_folder(folder), 2, 41)


def test_a_model_of_the_hub_is_pinned_to_a_revision_and_its_commit_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the hub's own cache, two commits of one model: main is the second."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    first, second = "1" * 40, "2" * 40
    place = tmp_path / "hub" / "models--somebody--small"
    for commit in (first, second):
        shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(second)
    for revision, commit in ((None, second), (first, first), ("main", second)):
        found = bert_files.find("hub", "somebody/small", None, revision)
        assert found.folder == place / "snapshots" / commit
        assert found.checksums()["hub commit"] == commit
    with pytest.raises(MissingData, match="somebody/small at revision 3333"):
        bert_files.find("hub", "somebody/small", None, "3" * 40)
    assert "hub commit" not in bert_files.of_folder(folder).checksums()


def test_the_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def no(*args: object, **more: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", no)
    with pytest.raises(MissingData, match=r"bert-base-uncased is not here .*no route to host.*model\.weights=random"):
        bert_files.find("hub", "bert-base-uncased", None)
