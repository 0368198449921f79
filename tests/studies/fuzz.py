"""Strangers' scenarios and data files: none may end in an internal error, and none may hang.

    python -m tests.studies.fuzz [--scenarios 10000] [--files 500] [--seed 0]

Scenarios are the presets with their text damaged, their values swapped for what they cannot be, and `--set` of any key of the grammar; each
is read and written out by `subpop show`. Data are small files of every reader, damaged in every way known here, or with a pipe, a device, a
socket, a folder or a circle of links in their place; each goes through `subpop columns`, `init` and `discover`. All of it in this process.
An internal error is what the command line itself calls a bug, or an exception that it lets through. A hang takes more than 5 s of this
process's time, or 30 s by the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gzip
import io
import json
import os
import random
import shutil
import signal
import socket
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.cli import main as cli
from engine.scenario.files import text_of
from engine.scenario.parse import schema
from engine.scenario.presets import presets

CPU_S, CLOCK_S = 5.0, 30.0
DEEP = 400


class Hang(BaseException):
    """Raised by the watchdog, through whatever is at work."""


@dataclass
class Tally:
    """What became of the cases: how many ended with which status, what was wrong with which."""

    ended: Counter[int] = field(default_factory=Counter)
    internal: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def call(self, name: str, words: Sequence[str]) -> None:
        """One command line, watched."""
        before = time.process_time()
        out, err = _stream(), _stream()
        try:
            with _watched(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = cli.main(words)
        except Hang:
            self.hangs.append(f"{name}: {words}")
            return
        except BaseException:
            self.internal.append(f"{name}: {words}\n{traceback.format_exc()}")
            return
        self.slowest_s = max(self.slowest_s, time.process_time() - before)
        self.ended[status] += 1
        said = _text(err)
        if "this is a bug" in said or "Traceback" in said:
            self.internal.append(f"{name}: {words}\n{said[-1500:]}")

    def __str__(self) -> str:
        ended = ", ".join(f"{count:,} with {status}" for status, count in sorted(self.ended.items()))
        return f"{len(self.internal)} internal errors, {len(self.hangs)} hangs; ended {ended}; the slowest took {self.slowest_s:.1f} s"


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), "utf-8")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode("utf-8", "replace")


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    def hang(*_: object) -> None:
        raise Hang

    before = {number: signal.signal(number, hang) for number in (signal.SIGALRM, signal.SIGVTALRM)}
    faulthandler.dump_traceback_later(10 * CLOCK_S, exit=True)  # stuck where no signal is heard
    signal.setitimer(signal.ITIMER_REAL, CLOCK_S)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        faulthandler.cancel_dump_traceback_later()
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- scenarios ------------------------------------------------------------------------------------------------------

LITERALS = [
    "nan", "inf", "-inf", "1e400", "-0.0", "0", "1", "-1", "3", "0.5", "9223372036854775807", "9" * 400, "-" + "9" * 5000,
    "0x7fffffffffffffff", '""', '"x"', '"sixteen"', f'"{"x" * 5000}"', '"\\u202e\\u001b[2J"', '"größer 日本"', '"/dev/zero"',
    '"../../.."', '"cuda:99999999999999999999"', '"\\u0000"', "[]", "[[]]", "[1, 2, -3]", '[1, "a", true]', "[nan, inf]",
    f"[{','.join(['1'] * 3000)}]", f"[{','.join(['-1'] * 3000)}]", "[" * DEEP + "]" * DEEP, "[" * 9000 + "]" * 9000, "{}",
    "{ kind = 1 }", '{ kind = "mlp" }', '{ a = { b = { c = [] } } }', "{ a = " * DEEP + "1" + " }" * DEEP, "true", "false",
    "1979-05-27T07:32:00Z", "1979-05-27", "07:32:00", "9999-12-31T23:59:59.999999+14:00", "'''\n'''", '"\\ud800"', "[{}, {}]", '"none"',
    '"table"', '"mlp"', '"label_flip"', '"cluster_match"', '"feature_match"', '"random"', '"last_layer"', '"hub"', '"bert"', '"vgg"',
    '["age", "age"]', "[0.5, 0.5]", "1_000_000_000_000",
]  # fmt: skip


STRAYS = ["[", "]]", "[a.b.c.d.e]", "[[attack]]", "[model.model]", "'", '"""', "= 1", "\ufeff", "[dataset]", f"[{'a.' * 500}a]"]


def grammar() -> list[str]:
    """Every dotted key that some kind has, as far as the schema goes down."""
    whole = schema()
    keys: set[str] = set()

    def walk(node: object, path: tuple[str, ...]) -> None:
        if not isinstance(node, dict) or len(path) > 4:
            return
        if "$ref" in node:
            walk(whole["$defs"][node["$ref"].rsplit("/", 1)[1]], path)
        for name in ("anyOf", "oneOf", "allOf"):
            for option in node.get(name, ()):
                walk(option, path)
        for name, inner in node.get("properties", {}).items():
            keys.add(".".join((*path, name)))
            walk(inner, (*path, name))

    walk(whole, ())
    return sorted(keys)


def mutated(text: str, draw: random.Random, keys: Sequence[str]) -> bytes:
    """A scenario's text with one to four faults."""
    lines = text.split("\n")
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at, way = draw.randrange(len(lines)), draw.randrange(12)
        if way < 5 and "=" in lines[at]:
            lines[at] = f"{lines[at].partition('=')[0]}= {draw.choice(LITERALS)}"
        elif way == 5:
            lines.insert(at, f"{draw.choice(keys).rpartition('.')[2]} = {draw.choice(LITERALS)}")
        elif way == 6:
            lines.append(f"{draw.choice(keys)} = {draw.choice(LITERALS)}")
        elif way == 7:
            del lines[at : at + draw.randrange(1, 4)]
            lines = lines or [""]
        elif way == 8:
            lines.insert(at, lines[draw.randrange(len(lines))])
        elif way == 9:
            lines.insert(at, draw.choice(STRAYS))
        elif way == 10 and lines[at]:
            place = draw.randrange(len(lines[at]))
            lines[at] = lines[at][:place] + chr(draw.choice([0, 7, 27, 34, 39, 91, 0x202E, 0xE9, 0x1F600, 0x85])) + lines[at][place + 1 :]
        else:
            lines = lines[: at + 1]
    raw = "\n".join(lines).encode()
    if draw.random() < 0.05:
        place = draw.randrange(len(raw) + 1)
        raw = raw[:place] + bytes(draw.randrange(256) for _ in range(draw.randrange(1, 9))) + raw[place:]
    return raw if draw.random() > 0.01 else raw.decode().encode("utf-16") if b"\xff" not in raw and _is_text(raw) else raw


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def scenarios(count: int, seed: int, folder: Path) -> Tally:
    tally, draw, keys = Tally(), random.Random(seed), grammar()
    texts = [text_of(name)[2] for name in presets()]
    file = folder / "scenario.toml"
    for number in range(count):
        words = ["show", str(file)]
        if draw.random() < 0.3:  # the presets themselves, overridden
            words = ["show", draw.choice(list(presets()))]
        else:
            file.write_bytes(mutated(draw.choice(texts), draw, keys))
        for _ in range(draw.choice((0, 0, 1, 1, 2)) if words[1] == str(file) else draw.choice((1, 1, 2, 3))):
            words += ["--set", f"{draw.choice(keys)}={draw.choice(LITERALS)}"]
        words += ["--smoke"] if draw.random() < 0.4 else []
        held = file.read_bytes()[:3000] if words[1] == str(file) else b""
        before = len(tally.internal) + len(tally.hangs)
        tally.call(f"scenario {number}", [word if len(word) < 60_000 else word[:60_000] for word in words])
        if len(tally.internal) + len(tally.hangs) > before:
            print(
                f"scenario {number}: {[word[:200] for word in words]}\n{held!r}\n{(tally.internal or tally.hangs)[-1][-1500:]}", flush=True
            )
    return tally


# ---- data files -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Base:
    """A sound file, in a folder of its own, and the commands that read it. file: what is damaged, below the folder."""

    name: str
    make: Callable[[Path], None]
    file: str
    commands: tuple[tuple[str, ...], ...]  # DIR stands for the folder
    refused: str = ""  # what is said of the sound file, where it is read whole and then refused


TABLE = """title = "t"
[dataset]
kind = "{kind}"
path = "{path}"
{keys}
[model]
{model}
[subpopulations]
kind = "cluster_match"
clusters = 2
pca = 2
[attack]
alphas = [1]
[evaluation]
trials = 1
"""
MLP, CONV = 'kind = "mlp"\nhidden = [4]\nepochs = 1', 'kind = "conv"\nepochs = 1'
BERT = 'kind = "bert"\narchitecture = "bert-tiny"\nlength = 8\nepochs = 1\ntune = "last_layer"'


def _frame():  # type: ignore[no-untyped-def]
    import pandas as pd

    draw = np.random.default_rng(0)
    age, region = draw.integers(18, 80, 60), draw.choice(["nörd", "süd"], 60)
    words = draw.choice(["good film", "bad film", "a film, long and slow"], 60)
    return pd.DataFrame({"age": age, "region": region, "when": "2024-01-02", "note": words, "y": np.where(age > 48, "yes", "no")})


def _table(ending: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        frame, path = _frame(), folder / f"data.{ending}"
        if ending == "parquet":
            frame.to_parquet(path)
        elif ending == "jsonl":
            frame.to_json(path, orient="records", lines=True, force_ascii=False)
        else:
            raw = frame.to_csv(index=False, sep="\t" if ending == "tsv" else ",").encode()
            path.write_bytes(gzip.compress(raw) if ending.endswith("gz") else raw)
        (folder / "s.toml").write_text(TABLE.format(kind="table", path=f"data.{ending}", keys='label = "y"', model=MLP))

    return make


def _texts(ending: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _table(ending)(folder)
        keys = 'label = "y"\ntext = "note"'
        text = TABLE.format(kind="text_table", path=f"data.{ending}", keys=keys, model=BERT)
        (folder / "s.toml").write_text(text.replace("pca = 2", 'pca = 2\nlayer = "hidden"'))

    return make


def _picture(path: Path, seed: int, size: int = 8) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)).save(path)


def _pictures(ending: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for number in range(24):
            _picture(folder / "birds" / ("a" if number % 2 else "b") / f"{number}.{ending}", number)
        keys = "image_size = 8"
        (folder / "s.toml").write_text(TABLE.format(kind="image_folder", path="birds", keys=keys, model=CONV))

    return make


def _weights(ending: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        import torch
        from safetensors.torch import save_file

        _pictures("png")(folder)
        tensors = {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}
        file = folder / f"w.{ending}"
        save_file(tensors, file) if ending == "safetensors" else torch.save(tensors, file)
        model = f'kind = "vgg"\ndepth = 11\nepochs = 1\nweights = "w.{ending}"'
        (folder / "s.toml").write_text(TABLE.format(kind="image_folder", path="birds", keys="image_size = 32", model=model))

    return make


def _encoder(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    _texts("csv")(folder)
    place = folder / "encoder"
    place.mkdir()
    (place / "config.json").write_text(
        json.dumps({"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2})
    )
    (place / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]))
    save_file({"embeddings.word_embeddings.weight": torch.zeros(8, 8)}, place / "model.safetensors")
    text = (folder / "s.toml").read_text().replace('architecture = "bert-tiny"', f'weights = "{place}"')
    (folder / "s.toml").write_text(text)


def _packed(name: str, fill: Callable[[Path], None]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        tree = folder / "tree"
        fill(tree)
        target = folder / "data" / name
        target.parent.mkdir(parents=True)
        with tarfile.open(target, "w:gz") as archive:
            for each in sorted(tree.iterdir()):
                archive.add(each, each.name)
        shutil.rmtree(tree)

    return make


def _imdb(folder: Path) -> None:
    _packed(REVIEWS, _reviews)(folder)
    _vocabulary(folder / "data")


def _vocabulary(data: Path) -> None:
    """Random BERTs' words, where a data folder has them."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", *"abcdefghijklmnopqrstuvwxyz"]
    (data / "bert").mkdir(parents=True)
    (data / "bert" / "vocab.txt").write_text("\n".join(words))


def _unpacked(folder: Path) -> None:
    _reviews(folder / "data" / "imdb")
    _vocabulary(folder / "data")


def _batches(folder: Path) -> None:
    place = folder / "data" / "cifar10" / "cifar-10-batches-py"
    place.mkdir(parents=True)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (place / name).write_bytes(b"\x80\x02}q\x01." * 100)


def _annotated(folder: Path) -> None:
    _pictures("png")(folder)
    rows = (f"{'a' if number % 2 else 'b'}/{number}.png,{'red' if number % 3 else 'blue'}" for number in range(24))
    (folder / "birds.csv").write_text("\n".join(("file,colour", *rows)) + "\n")
    text = (folder / "s.toml").read_text().replace("image_size = 8", 'image_size = 8\nannotations_file = "birds.csv"')
    (folder / "s.toml").write_text(text)


def _cifar(tree: Path) -> None:
    for split in ("train", "test"):
        for number in range(20):
            _picture(tree / split / ["cat", "dog"][number % 2] / f"{number}.png", number, 32)


def _faces(tree: Path) -> None:
    for number in range(24):
        _picture(tree / "UTKFace" / f"{20 + number}_{number % 2}_{number % 5}_20170109150557335.jpg.chip.jpg", number, 20)


def _reviews(tree: Path) -> None:
    for split in ("train", "test"):
        for number in range(12):
            path = tree / "aclImdb" / split / ["pos", "neg"][number % 2] / f"{number}_{1 + 8 * (number % 2)}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"a film {number}, größer")


def _adult(folder: Path) -> None:
    row = "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, United-States, {}\n"
    place = folder / "data" / "adult"
    place.mkdir(parents=True)
    (place / "adult.data").write_text("".join(row.format("<=50K" if n % 3 else ">50K") for n in range(60)))
    (place / "adult.test").write_text("|1x3 Cross validator\n" + "".join(row.format("<=50K." if n % 3 else ">50K.") for n in range(60)))


def _preset(name: str, *words: str) -> tuple[str, ...]:
    few = (f"subpopulations.{key}" for key in ("pca=2", "clusters=2", "min_size=1"))
    return ("discover", name, "--smoke", "--data", "DIR/data", *(word for each in (*few, *words) for word in ("--set", each)))


CIFAR, FACES, REVIEWS = "cifar10/cifar-10-images.tar.gz", "utkface/UTKFace.tar.gz", "imdb/aclImdb_v1.tar.gz"
OWN = (("columns", "DIR/FILE"), ("init", "DIR/FILE"), ("discover", "DIR/s.toml", "--data", "SHARED"))
FOLDER = (("init", "DIR/birds"), ("columns", "DIR/birds"), ("discover", "DIR/s.toml"))
ENCODER = ("model.safetensors", "config.json", "vocab.txt")
BASES = [
    *(Base(ending, _table(ending), f"data.{ending}", OWN) for ending in ("csv", "tsv", "csv.gz", "parquet", "jsonl")),
    *(Base(f"text {ending}", _texts(ending), f"data.{ending}", OWN) for ending in ("csv", "jsonl", "parquet")),
    *(Base(f"pictures {ending}", _pictures(ending), f"birds/a/1.{ending}", FOLDER) for ending in ("png", "jpg", "gif")),
    *(Base(f"weights {end}", _weights(end), f"w.{end}", FOLDER[2:], "tensors are not in the file") for end in ("safetensors", "pt")),
    *(
        Base(f"encoder {file}", _encoder, f"encoder/{file}", OWN[2:], "encoder")
        for file in ("model.safetensors", "config.json", "vocab.txt")
    ),
    Base("cifar10", _packed(CIFAR, _cifar), f"data/{CIFAR}", (_preset("cifar10-conv", "model.epochs=1"),)),
    Base("utkface", _packed(FACES, _faces), f"data/{FACES}", (_preset("utkface-vgg-ll", "model.kind=conv"),)),
    Base("imdb", _imdb, f"data/{REVIEWS}", (_preset("imdb-bert-ll", "model.architecture=bert-tiny"),)),
    Base("cifar10 batches", _batches, "data/cifar10/cifar-10-batches-py/data_batch_2", (_preset("cifar10-conv"),), "cifar"),
    Base("imdb unpacked", _unpacked, "data/imdb/aclImdb/train/pos/0_1.txt", (_preset("imdb-bert-ll", "model.architecture=bert-tiny"),)),
    Base("annotations", _annotated, "birds.csv", FOLDER),
    Base("adult", _adult, "data/adult/adult.data", (_preset("adult-logistic"),), "the official file's is"),
]


def damage(path: Path, draw: random.Random) -> str:
    """Put something wrong in a file's place; what it is."""
    raw = path.read_bytes()
    way = draw.choice(
        ["cut", "cut", "flip", "flip", "flip", "many", "zeros", "header", "tail", "empty", "utf-16", "latin-1", "twice", "noise", "nul",
         "pipe", "zero", "full", "null", "socket", "folder", "circle", "dangling", "gone", "unreadable", "long line"]
    )  # fmt: skip
    at = draw.randrange(len(raw))
    noise = bytes(draw.randrange(256) for _ in range(64))
    text = raw.decode("utf-8", "replace")
    bytes_of: dict[str, Callable[[], bytes]] = {
        "cut": lambda: raw[:at],
        "flip": lambda: raw[:at] + bytes([raw[at] ^ (1 << draw.randrange(8))]) + raw[at + 1 :],
        "many": lambda: bytes(byte ^ (draw.randrange(256) if draw.random() < 0.02 else 0) for byte in raw),
        "zeros": lambda: raw[:at] + bytes(200) + raw[at:],
        "header": lambda: b"\xff" * draw.choice((4, 8, 16)) + raw[8:],
        "tail": lambda: raw[:-8] + b"\xff" * 8,
        "empty": lambda: b"",
        "utf-16": lambda: text.encode("utf-16"),
        "latin-1": lambda: text.encode("latin-1", "replace"),
        "twice": lambda: raw + raw,
        "noise": lambda: noise * 40,
        "nul": lambda: raw[:at] + b"\0" + raw[at:],
        "long line": lambda: raw[:at] + b"x" * 300_000 + raw[at:],
    }
    if way in bytes_of:
        path.write_bytes(bytes_of[way]())
        return way
    if way == "unreadable":
        path.chmod(0)
        return way
    path.unlink()
    if way == "pipe":
        os.mkfifo(path)
    elif way in ("zero", "full", "null"):
        path.symlink_to(f"/dev/{way}")
    elif way == "socket":
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening, contextlib.chdir(path.parent):
            listening.bind(path.name)
    elif way == "folder":
        path.mkdir()
    elif way == "circle":
        path.symlink_to(path.name)
    elif way == "dangling":
        path.symlink_to("nowhere")
    return way


def files(count: int, seed: int, folder: Path, bases: Sequence[Base] = BASES) -> Tally:
    tally, draw = Tally(), random.Random(seed)
    sound, shared = folder / "sound", folder / "shared"
    _vocabulary(shared)
    for base in bases:
        (sound / base.name).mkdir(parents=True)
        base.make(sound / base.name)
    for base in bases:  # that undamaged they are read: else nothing is shown; and what is imported late is imported
        for words in _commands(base, sound / base.name, shared):
            out, err = _stream(), _stream()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = cli.main(words)
            if status and words[0] != "columns" and not (base.refused and base.refused in _text(err)):
                raise AssertionError(f"{base.name}: {words} ended with {status}: {_text(err)[-1500:]}")
    for number in range(count):
        base = bases[number % len(bases)]
        place = folder / "case"
        shutil.copytree(sound / base.name, place)
        way = damage(place / base.file, draw)
        for given in _commands(base, place, shared):
            before = len(tally.internal) + len(tally.hangs)
            tally.call(f"{base.name}, {way}", given)
            if len(tally.internal) + len(tally.hangs) > before:
                print(f"file {number}, {base.name}, {way}: {given}\n{(tally.internal or tally.hangs)[-1][-1500:]}", flush=True)
        shutil.rmtree(place)
    return tally


def _commands(base: Base, place: Path, shared: Path) -> list[list[str]]:
    return [
        [w.replace("DIR", str(place)).replace("FILE", base.file).replace("SHARED", str(shared)) for w in each] for each in base.commands
    ]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.studies.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenarios", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="subpop-fuzz-") as name, private(Path(name)):
        bad = 0
        for what, count, go in (("scenarios", args.scenarios, scenarios), ("data files", args.files, files)):
            began = time.monotonic()
            tally = go(count, args.seed, Path(name))
            print(f"{count:,} {what}: {tally}; {time.monotonic() - began:.0f} s", flush=True)
            bad += len(tally.internal) + len(tally.hangs)
    return int(bad > 0)


@contextlib.contextmanager
def private(folder: Path) -> Iterator[None]:
    """Store, cache and configuration of its own; no network is asked."""
    before = dict(os.environ)
    os.environ |= {
        "SUBPOP_STORE": str(folder / "runs.db"), "SUBPOP_CACHE": str(folder / "cache"), "SUBPOP_DATA": str(folder / "none"),
        "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "TORCH_HOME": str(folder / "torch"),
        "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9",
    }  # fmt: skip
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


if __name__ == "__main__":
    sys.exit(main())
