"""Encoders of any architecture, held to transformers' own: tiny random ones, saved as safetensors and read by our own code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.errors import BadData, RequestError
from engine.features import text_models
from engine.features.tokenizer import tokenizer_of
from engine.models.bert.bert import Bert
from engine.models.bert.files import BertSource
from engine.models.encoders import files as auto_files
from engine.models.encoders.encoder import AutoEncoder
from engine.models.encoders.files import EncoderSource
from engine.scenario.sections import BertSection
from engine.training.networks.choose import train_networks
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.reference.sequential import train_network_sequential
from engine.training.trial import How, Trial

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTH, CLASSES, WORDS = 10, 3, 40
CPU = torch.device("cpu")
BERTISH = {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
           "max_position_embeddings": 20}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "distilbert": {"vocab_size": WORDS, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 20},
    "roberta": {**BERTISH, "pad_token_id": 1},
    "electra": {**BERTISH, "embedding_size": 12},
    "albert": {**BERTISH, "embedding_size": 12},
    "xlnet": {"vocab_size": WORDS, "d_model": 16, "n_layer": 3, "n_head": 2, "d_inner": 24},  # pools the last token, padded in front
    "deberta-v2": {**BERTISH, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
    "fnet": {**BERTISH, "tpu_short_seq_length": 20},  # reads padding as it reads tokens
    "bert": {**BERTISH, "hidden_act": "relu"},  # a BERT that the fast way does not have
}


@dataclass(frozen=True)
class World:
    folder: Path
    source: EncoderSource
    module: nn.Module  # transformers' own, of the same weights


def saved(kind: str, folder: Path, **more: Any) -> nn.Module:
    """A model of transformers with weights in which nothing is zero or one, saved in the folder."""
    from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

    config = CONFIG_MAPPING[kind](**{**SETTINGS.get(kind, {}), "num_labels": CLASSES, **more})
    torch.manual_seed(0)
    made: nn.Module = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.2 * torch.randn_like(p))
    made.save_pretrained(folder)  # type: ignore[operator]
    return made.eval()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], World]:
    @cache
    def of(kind: str) -> World:
        folder = tmp_path_factory.mktemp(kind)
        module = saved(kind, folder)
        source = auto_files.of_folder(folder)
        assert isinstance(source, EncoderSource)
        return World(folder, source, module)

    return of


def still(world: World) -> EncoderSource:
    """The same without dropout."""
    found = auto_files.of_folder(world.folder)
    assert isinstance(found, EncoderSource)
    return replace(found, rates=auto_files.rates_of(None if found.kind == "xlnet" else 0.0, 0.0))


def given_to(module: nn.Module, model: AutoEncoder, params: list[Tensor]) -> nn.Module:
    """transformers' model with a victim's weights."""
    own = dict(module.named_parameters())
    with torch.no_grad():
        for name, p in zip(model.names, params, strict=True):
            own[name].copy_(p)
    return module


def tokens(rows: int, seed: int) -> Tensor:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(2, LENGTH + 1, rows)
    found = np.where(np.arange(LENGTH) < lengths[:, None], draw.integers(6, WORDS, (rows, LENGTH)), -1)
    return torch.from_numpy(found.astype(np.int32))


def as_transformers_takes_them(kind: str, tokens_BT: Tensor) -> dict[str, Tensor]:
    """Written out here once more, a row at a time: padding of the model's own, in front where the last token is pooled."""
    pad = {"roberta": 1, "xlnet": 5, "fnet": 3}.get(kind, 0)
    ids, mask, types = (torch.zeros_like(tokens_BT, dtype=torch.int64) for _ in range(3))
    for row, given in enumerate(tokens_BT):
        real = given[given >= 0].long()
        at = slice(len(given) - len(real), None) if kind == "xlnet" else slice(0, len(real))
        ids[row] = pad
        ids[row, at], mask[row, at] = real, 1
        types[row, -1] = 2
    return {"input_ids": ids, "attention_mask": mask, **({"token_type_ids": types} if kind == "xlnet" else {})}


# ---- equal to transformers' -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-6), (torch.float64, 1e-10)], ids=["float32", "float64"])
@pytest.mark.parametrize("kind", SETTINGS)
def test_logits_and_gradients_are_transformers(world: Callable[[str], World], kind: str, dtype: torch.dtype, atol: float) -> None:
    import copy

    here = world(kind)
    model = AutoEncoder(here.source, CLASSES, LENGTH)
    params = [p.requires_grad_() for p in model.init(torch.Generator().manual_seed(1), dtype)]
    theirs = given_to(copy.deepcopy(here.module).to(dtype), model, params)
    rows, y_B = tokens(7, 2), torch.arange(7) % CLASSES
    inputs = as_transformers_takes_them(kind, rows)
    logits, wanted = model.logits(params, model.pixels(rows)), theirs(**inputs).logits
    torch.testing.assert_close(logits, wanted, atol=atol, rtol=0 if dtype == torch.float64 else 1e-6)
    model.losses(logits, y_B).mean().backward()
    nn.functional.cross_entropy(wanted, y_B).backward()
    own = dict(theirs.named_parameters())
    scale = max(float(p.grad.abs().max()) for p in params if p.grad is not None)
    for name, p in zip(model.names, params, strict=True):
        torch.testing.assert_close(p.grad, own[name].grad, atol=10 * atol * max(1.0, scale), rtol=0, msg=name)
    unread = set(own) - set(model.names)
    assert all(own[name].grad is None for name in unread)
    # what the head is made of, and what subpopulations are formed in
    kernel, bias = model.head_of(params)
    torch.testing.assert_close(model.hidden_of(params, model.pixels(rows)) @ kernel + bias, logits, atol=10 * atol, rtol=1e-5)
    with torch.no_grad():
        states = theirs(**inputs, output_hidden_states=True).hidden_states[-2]
        found = model.layer_of(params, model.pixels(rows), "hidden")
        flat = model.layer_of(params, model.pixels(rows), "tokens")
    for row, (given, real) in enumerate(zip(states, inputs["attention_mask"].bool(), strict=True)):
        torch.testing.assert_close(found[row], given[real].mean(0), atol=10 * atol, rtol=1e-5)
        torch.testing.assert_close(flat[row].view(LENGTH, -1)[: int(real.sum())], given[real], atol=10 * atol, rtol=1e-5)
        assert not flat[row].view(LENGTH, -1)[int(real.sum()) :].any()


def test_weights_are_the_checkpoints_and_the_classifier_is_drawn(world: Callable[[str], World]) -> None:
    here = world("roberta")
    model = AutoEncoder(here.source, CLASSES, LENGTH)
    one, same, other = (dict(zip(model.names, model.init(torch.Generator().manual_seed(s)), strict=True)) for s in (1, 1, 2))
    for name, p in here.module.named_parameters():
        drawn = name.startswith("classifier.out_proj.")
        assert one[name].equal(p) is not drawn, name
        assert one[name].equal(same[name])
    assert not one["classifier.out_proj.weight"].equal(other["classifier.out_proj.weight"])
    assert not one["classifier.out_proj.bias"].any()


def test_an_encoder_alone_gets_a_head(world: Callable[[str], World], tmp_path: Path) -> None:
    here = world("distilbert")
    here.module.distilbert.save_pretrained(tmp_path)  # type: ignore[union-attr, operator]
    source = auto_files.of_folder(tmp_path)
    assert isinstance(source, EncoderSource)
    model = AutoEncoder(source, CLASSES, LENGTH, "last_layer")
    found = dict(zip(model.names, model.init(torch.Generator().manual_seed(1)), strict=True))
    own = dict(here.module.named_parameters())
    assert {name for name, p in found.items() if not p.equal(own[name])} == {
        f"{part}.{end}" for part in ("pre_classifier", "classifier") for end in ("weight", "bias")
    }
    assert float(found["pre_classifier.weight"].std()) == pytest.approx(0.02, rel=0.3), "as transformers draws it"


# ---- trained ------------------------------------------------------------------------------------------------------------


RECIPE = Recipe(epochs=2, batch=4, lr=1e-3, weight_decay=0.1, optimizer="adamw")


def training() -> Training:
    rows = tokens(34, 0)
    return Training(rows[:22], torch.from_numpy(np.random.default_rng(0).integers(0, CLASSES, 22)), rows[22:])


def jobs() -> list[Job]:
    draw = np.random.default_rng(1)
    return [Job(draw.integers(0, 12, n), draw.integers(0, CLASSES, n)) for n in (0, 7)]


def trained(model: AutoEncoder, init: list[Tensor], **more: Any) -> list[Trained]:
    return train_networks(model, init, training(), jobs(), RECIPE, Trial(1, 0, How(device=CPU, dtype=init[0].dtype), **more))


@pytest.mark.parametrize("tune", ["all", "last_layer"])
def test_the_trainer_is_the_plain_loop(world: Callable[[str], World], tune: Any) -> None:
    model = AutoEncoder(world("roberta").source, CLASSES, LENGTH, tune)
    init = model.init(torch.Generator().manual_seed(2), torch.float64)
    for job, mine in zip(jobs(), trained(model, init), strict=True):
        own = train_network_sequential(model, init, training(), job, RECIPE, Trial(1, 0))
        assert mine.train_loss == pytest.approx(own.train_loss, abs=1e-9)
        for a, b in zip(mine.params, own.params, strict=True):
            torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", ["distilbert", "xlnet"])
@pytest.mark.parametrize("tune", ["all", "last_layer"])
def test_trained_as_transformers_own_would_be(world: Callable[[str], World], kind: str, tune: Any) -> None:
    """A loop over transformers' module itself, without dropout: the trained weights agree, and the frozen ones do not move."""
    from transformers import AutoModelForSequenceClassification

    here = world(kind)
    model = AutoEncoder(still(here), CLASSES, LENGTH, tune)
    init = model.init(torch.Generator().manual_seed(2), torch.float64)
    mine = trained(model, init)[1]
    theirs = given_to(AutoModelForSequenceClassification.from_pretrained(here.folder).to(torch.float64).eval(), model, init)
    before = {name: p.detach().clone() for name, p in theirs.named_parameters()}
    own = dict(theirs.named_parameters())
    decayed = [p for name, p in own.items() if name in model.names and p.dim() > 1 and not name.endswith("bias")]
    others = [p for name, p in own.items() if name in model.names and not any(p is d for d in decayed)]
    groups = [{"params": decayed, "weight_decay": RECIPE.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RECIPE.lr)
    from engine.training.reference.sequential import shared_batches
    from engine.training.schedule import Schedule

    for epoch in range(RECIPE.epochs):
        for x, y_B in shared_batches(Schedule(22, RECIPE.batch, 1, 0), training(), jobs()[1], epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(theirs(**as_transformers_takes_them(kind, x)).logits, y_B).backward()
            optimizer.step()
    for name, p in zip(model.names, mine.params, strict=True):
        torch.testing.assert_close(p, own[name], atol=1e-8, rtol=0, msg=name)
        assert not p.equal(before[name]) or name.endswith(("k_lin.bias", "key.bias", "r_s_bias")), name
    frozen = [name for name in own if name not in model.names]
    assert bool([name for name in frozen if name != "transformer.mask_emb"]) is (tune == "last_layer")
    held = model._fixed(init[0])
    assert all(held[name].equal(before[name]) for name in frozen if name != "transformer.mask_emb")


def test_only_the_last_layer_and_the_head_are_trained(world: Callable[[str], World]) -> None:
    names = {kind: AutoEncoder(world(kind).source, CLASSES, LENGTH, "last_layer").names for kind in ("roberta", "deberta-v2", "electra")}
    for kind, found in names.items():
        assert {name.partition("layer.")[2][:1] for name in found if "layer." in name} == {"2"}, kind
        head = {name for name in found if "layer." not in name}
        wanted = ("pooler.dense", "classifier") if kind == "deberta-v2" else ("classifier.dense", "classifier.out_proj")
        assert head == {f"{part}.{end}" for part in wanted for end in ("weight", "bias")}


def test_masks_are_the_seeds_and_clean_rows_share_them(world: Callable[[str], World]) -> None:
    """In the bits: the same plan the same victims; a clean row loses the same numbers whatever rows follow it."""
    model = AutoEncoder(world("distilbert").source, CLASSES, LENGTH)
    init = model.init(torch.Generator().manual_seed(2))
    one, again, parts = trained(model, init), trained(model, init), trained(model, init, workers=2)
    for a, b, c in zip(one, again, parts, strict=True):
        assert all(x.equal(y) and x.equal(z) for x, y, z in zip(a.params, b.params, c.params, strict=True))
    rows = model.pixels(tokens(6, 3))
    drawn = []
    for count in (4, 4, 6):
        torch.manual_seed(7)
        before = torch.random.get_rng_state()
        drawn.append(model.logits(init, rows[:count], training=True)[:4].detach())
        assert torch.random.get_rng_state().equal(before), "the process's own numbers are left as they were"
    torch.testing.assert_close(drawn[0], drawn[1], atol=0, rtol=0)
    torch.testing.assert_close(drawn[0], drawn[2], atol=1e-6, rtol=0)
    assert not drawn[0].allclose(model.logits(init, rows[:4]), atol=1e-3)
    assert "dropout" in model.notes()[0]


def test_rates_of_dropout_are_the_scenarios(world: Callable[[str], World]) -> None:
    section = BertSection(weights=str(world("distilbert").folder), attention_dropout=0.0, dropout=0.0, length=LENGTH)
    source = text_models.source_of(section)
    model = text_models.network_of(source, section, CLASSES)
    assert isinstance(model, AutoEncoder)
    assert not model.has_dropout
    assert model.notes() == ()
    fnet = BertSection(weights=str(world("fnet").folder), attention_dropout=0.1, length=LENGTH)
    with pytest.raises(RequestError, match=r"model\.attention_dropout: a model of 'fnet' has no such rate"):
        text_models.network_of(text_models.source_of(fnet), fnet, CLASSES)


def test_padding_is_cut_where_it_does_not_count(world: Callable[[str], World]) -> None:
    long = torch.full((2, 96), -1, dtype=torch.int32)
    long[:, :5] = 7
    roberta = AutoEncoder(world("roberta").source, CLASSES, LENGTH)
    assert roberta.pixels(long).shape == (2, 32)
    fnet = AutoEncoder(world("fnet").source, CLASSES, LENGTH)
    assert fnet.pixels(long).shape == (2, 96)
    assert any("padding" in note for note in fnet.notes())
    assert fnet.operations(3) == 3 * fnet.operations() > 0


# ---- refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "reads"), [("distilbert", 20), ("roberta", 18), ("electra", 20)])
def test_more_tokens_than_positions(world: Callable[[str], World], kind: str, reads: int) -> None:
    AutoEncoder(world(kind).source, CLASSES, reads)
    with pytest.raises(RequestError, match=rf"model\.length: this model reads {reads} tokens, not {reads + 1}"):
        AutoEncoder(world(kind).source, CLASSES, reads + 1)


def test_layers_that_are_shared_have_no_last_one(world: Callable[[str], World]) -> None:
    AutoEncoder(world("albert").source, CLASSES, LENGTH)
    with pytest.raises(RequestError, match=r"model\.tune: the last layer of 'albert' cannot be trained alone"):
        AutoEncoder(world("albert").source, CLASSES, LENGTH, "last_layer")


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("gpt2", {"vocab_size": WORDS, "n_embd": 16, "n_layer": 2, "n_head": 2, "pad_token_id": 0}, "left to right only"),
        ("bart", {"vocab_size": WORDS, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8},
         "with a decoder"),
        ("roberta", {**SETTINGS["roberta"], "is_decoder": True}, "with a decoder"),
    ],
)  # fmt: skip
def test_what_is_no_encoder(tmp_path: Path, kind: str, settings: dict[str, Any], told: str) -> None:
    saved(kind, tmp_path, **settings)
    source = auto_files.of_folder(tmp_path)
    assert isinstance(source, EncoderSource)
    with pytest.raises(BadData, match=f"is of {kind!r}.*{told}.*use an encoder that classifies texts"):
        AutoEncoder(source, CLASSES, LENGTH)


def edited(folder: Path, to: Path, **settings: Any) -> Path:
    """A copy of a model's folder with other settings."""
    to.mkdir(exist_ok=True)
    said = json.loads((folder / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**said, **settings}))
    (to / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return to


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model_type": "nobodys"}, "is of 'nobodys', and transformers has no model of this kind"),
        ({"model_type": "vit"}, "is of 'vit', and transformers has no classifier of texts of this kind"),
        ({"model_type": 5}, "model_type = 5"),
        ({"auto_map": {"AutoModel": "modeling.Mine"}}, "brings code of its own"),
        ({"n_layers": 4}, "lacks 16 of the 70 tensors"),
        ({"dim": 32}, "does not fit its config.json: "),
        ({"n_heads": 3}, "transformers"),
        ({"dim": "wide"}, "transformers"),
    ],
)
def test_a_configuration_that_does_not_go(world: Callable[[str], World], tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    folder = edited(world("distilbert").folder, tmp_path / "model", **settings)
    with pytest.raises(BadData, match=told) as caught:
        AutoEncoder(auto_files.of_folder(folder), CLASSES, LENGTH)  # type: ignore[arg-type]
    assert str(folder) in str(caught.value)


def test_weights_that_could_run_code_are_not_opened(world: Callable[[str], World], tmp_path: Path) -> None:
    folder = edited(world("distilbert").folder, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadData, match=r"holds no model\.safetensors, only pytorch_model\.bin, whose kind can run code"):
        auto_files.of_folder(folder)


def test_weights_that_are_no_numbers(world: Callable[[str], World], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = edited(world("distilbert").folder, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["distilbert.transformer.layer.1.ffn.lin1.bias"][3] = torch.nan
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BadData, match=r"not finite numbers \(distilbert\.transformer\.layer\.1\.ffn\.lin1\.bias\)"):
        AutoEncoder(auto_files.of_folder(folder), CLASSES, LENGTH)  # type: ignore[arg-type]


# ---- the whole way --------------------------------------------------------------------------------------------------------


def pieces(folder: Path, count: int = WORDS) -> None:
    """A tokenizer.json of word pieces: special tokens, then words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", *(f"w{i}" for i in range(count - 7))]
    made = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(words[:5])
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    made.save(str(folder / "tokenizer.json"))


def reviews(path: Path, rows: int = 120) -> Path:
    import pandas as pd

    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, rows)
    said = [f"{('bad', 'good')[y]} " + " ".join(f"w{i}" for i in draw.integers(0, 20, draw.integers(1, 9))) for y in labels]
    pd.DataFrame({"text": said, "label": [("no", "yes")[y] for y in labels]}).to_csv(path, index=False)
    return path


def scenario_of(table: Path, folder: Path, *overrides: str) -> Any:
    from engine.scenario.parse import parse

    return parse(
        f"""
        title = "texts of one's own"
        [dataset]
        kind = "text_table"
        path = '{table}'
        text = "text"
        label = "label"
        split = [0.4, 0.3, 0.3]
        [model]
        kind = "bert"
        weights = '{folder}'
        length = {LENGTH}
        epochs = 1
        batch = 16
        lr = 1e-3
        optimizer = "adamw"
        [subpopulations]
        kind = "cluster_match"
        layer = "hidden"
        clusters = 2
        pca = 4
        [attack]
        alphas = [1]
        [evaluation]
        trials = 1
        confidence_folds = 1
        """,
        overrides=overrides,
    )


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A table of texts, and a folder with a model and its tokenizer."""
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    saved("distilbert", tmp_path / "model")
    pieces(tmp_path / "model")
    return reviews(tmp_path / "reviews.csv"), tmp_path / "model"


@pytest.mark.parametrize("tune", ["all", "last_layer"])
def test_from_a_table_of_texts_to_what_victims_predict(tiny: tuple[Path, Path], tune: str) -> None:
    from engine.pipeline import order as pipeline

    given = scenario_of(*tiny, f"model.tune={tune}", *(["subpopulations.layer=tokens"] if tune == "all" else []))
    said: list[str] = []
    found = pipeline.discover(given, tiny[0].parent, log=said.append, progress=lambda what, share: None)
    assert any(line.startswith("dropout: masks") for line in said)
    assert found.dataset.train.x.shape[1] == LENGTH
    assert set(found.dataset.checksums) >= {"model.safetensors"}
    assert not any("frozen" in line for line in pipeline.deviations(given, found.dataset)), "they run with their dropout on"
    stacks = pipeline.plan(given, found, "cpu", log=lambda line: None)
    results = [result for stack in stacks for result in pipeline.train_stack(pipeline.StackJob(given, found, stack, "cpu"))]
    assert len(results) == 3
    again = [result for stack in stacks for result in pipeline.train_stack(pipeline.StackJob(given, found, stack, "cpu"))]
    assert [r.predictions.tolist() for r in results] == [r.predictions.tolist() for r in again]
    assert len(results[0].predictions) == len(found.dataset.test)


def test_a_tokenizer_of_another_model(tiny: tuple[Path, Path]) -> None:
    pieces(tiny[1], WORDS + 3)
    source = auto_files.of_folder(tiny[1])
    with pytest.raises(BadData, match=r"has 43 tokens, and the model has embeddings for 40: they do not belong together"):
        text_models.tokenizer_for(source, None, lambda what, share: None)


def test_words_of_another_architecture_are_read_by_transformers(tmp_path: Path) -> None:
    """A byte-level vocabulary, as RoBERTa's older copies have it; and a vocab.txt that has no [CLS]."""
    byte_level = tmp_path / "roberta"
    saved("roberta", byte_level, vocab_size=300)
    letters = sorted(set("<>/abcdefghijklmnopqrstuvwxyzĠ"))
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    (byte_level / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate([*special, *letters, "go"])}))
    (byte_level / "merges.txt").write_text("#version: 0.2\ng o\n")
    found = tokenizer_of(byte_level, embeddings=300, around=1).build().encode("go on")
    assert found.tokens == ["<s>", "go", "Ġ", "o", "n", "</s>"]
    other = tmp_path / "mpnet"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "mpnet"}')
    (other / "vocab.txt").write_text("\n".join(["<s>", "<pad>", "</s>", "[UNK]", "<mask>", "good"]))
    assert tokenizer_of(other, around=1).build().encode("good").tokens == ["<s>", "good", "</s>"]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.stop=plateau", "is trained for a number of epochs"),
        ("model.weight_decay_per=rows", "the last layer of a text encoder has weight decay that knows no rows"),
        ("model.weight_decay_per=rows,all", 'optimizer "adamw" has weight decay that knows no rows'),
    ],
)
def test_what_the_trainer_cannot_do_is_told_by_the_scenario(tmp_path: Path, override: str, told: str) -> None:
    from engine.errors import ScenarioError

    key, _, tune = override.partition(",")
    with pytest.raises(ScenarioError, match=told):
        scenario_of(tmp_path / "x.csv", tmp_path, key, f"model.tune={tune or 'last_layer'}")


def test_a_bert_keeps_its_own_way(tmp_path: Path) -> None:
    saved("bert", tmp_path, hidden_act="gelu")
    source = auto_files.of_folder(tmp_path)
    assert isinstance(source, BertSource)
    assert isinstance(text_models.network_of(source, BertSection(length=LENGTH), CLASSES), Bert)
