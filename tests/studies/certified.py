"""Is a run's table of certificates right? Everything of it worked out again by code that shares nothing with the product:

    uv run python -m tests.studies.certified RUN --store FILE [--parts 5]

votes, certificates and the table from the bytes that SQLite holds; each row's part from its numbers; and the models of some parts by a
plain PyTorch loop (nn.Module, autograd, torch.optim.Adam), told no more than the part's rows and the seed's words. The rows themselves are
the product's: they are data, not arithmetic. For perceptrons (`mlp`) on rows of numbers.
"""

from __future__ import annotations

import argparse
import json
import math
import sqlite3
import tomllib
import zlib
from collections import Counter
from contextlib import closing
from fractions import Fraction
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

ARRAYS = ("y_test", "membership.test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=5, help="whose models are trained again, evenly over all")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with closing(sqlite3.connect(f"file:{args.store}?mode=ro", uri=True)) as db:
        (run_id,) = db.execute("SELECT id FROM runs WHERE id = ? OR name = ?", (args.run, args.run)).fetchone()
        stored = _read(db, run_id)
    _table(stored)
    _models(stored, args.parts)


def _read(db: sqlite3.Connection, run_id: str) -> dict[str, Any]:
    of = (run_id,)
    (text,) = db.execute("SELECT scenario_toml FROM runs WHERE id = ?", of).fetchone()
    arrays = {name: (dtype, data) for name, dtype, data in db.execute("SELECT name, dtype, data FROM arrays WHERE run_id = ?", of)}
    (spec,) = db.execute("SELECT spec FROM result_tables WHERE run_id = ? AND name = 'certificates'", of).fetchone()
    cells = db.execute("SELECT cells FROM result_rows WHERE run_id = ? AND name = 'certificates' AND cells IS NOT NULL", of)
    names = [column[0] for column in json.loads(spec)["columns"]]
    parts = db.execute("SELECT number, rows, epochs, predictions FROM parts WHERE run_id = ? ORDER BY number", of).fetchall()
    clean = db.execute("SELECT predictions FROM victims WHERE run_id = ? AND arm = 'clean'", of)
    wanted = {name: np.frombuffer(zlib.decompress(data), dtype) for name, (dtype, data) in arrays.items() if name in ARRAYS}
    subpopulations = db.execute("SELECT fields FROM subpopulations WHERE run_id = ? ORDER BY number", of)
    return {
        "scenario": tomllib.loads(text),
        **wanted,
        "subpopulations": [json.loads(fields) for (fields,) in subpopulations],
        "classes": json.loads(db.execute("SELECT classes FROM discoveries WHERE run_id = ?", of).fetchone()[0]),
        "table": [dict(zip(names, json.loads(row), strict=True)) for (row,) in cells],
        "parts": [(number, rows, epochs, np.frombuffer(zlib.decompress(data), np.uint8)) for number, rows, epochs, data in parts],
        "clean": [np.frombuffer(zlib.decompress(data), np.uint8) for (data,) in clean],
    }


def _table(stored: dict[str, Any]) -> None:
    y, member, k = stored["y_test"], stored["membership.test"], len(stored["parts"])
    classes, per = range(len(stored["classes"])), stored["scenario"]["attack"].get("per", "aux")
    withstands, right = [], []
    for row in range(len(y)):
        votes = Counter(int(says[row]) for *_, says in stored["parts"])
        vote = min(classes, key=lambda c: (-votes[c], c))
        points = 0  # one more as long as no single class can be brought past the winner by it
        while all(votes[vote] - points - 1 >= votes[d] + points + 1 + (d < vote) for d in classes if d != vote):
            points += 1
        withstands.append(points)
        right.append(vote == y[row])
    checked = 0

    def same(row: dict[str, Any], name: str, value: float | None) -> None:
        nonlocal checked
        assert (row[name] is None) == (value is None), (row["group"], row["subpopulation"], name, row[name], value)
        assert value is None or math.isclose(row[name], value, abs_tol=1e-12), (row["group"], row["subpopulation"], name, row[name], value)
        checked += 1

    def held(rows: list[int], only_right: bool) -> int | None:
        most = [p for p in range(k) if 2 * sum(withstands[at] >= p and (right[at] or not only_right) for at in rows) >= len(rows)]
        return max(most, default=None)

    for row in stored["table"]:
        if row["group"] not in ("one", "test set"):
            continue
        rows = [at for at in range(len(y)) if row["group"] == "test set" or member[at] == row["subpopulation"]]
        same(row, "ensemble_accuracy", sum(right[at] for at in rows) / len(rows))
        same(row, "clean_accuracy", sum(int((says[rows] == y[rows]).sum()) for says in stored["clean"]) / len(stored["clean"]) / len(rows))
        same(row, "withstood", held(rows, False))
        same(row, "withstood_right", held(rows, True))
        same(row, "most_points", k // 2)
        if row["group"] == "one":
            size = stored["subpopulations"][row["subpopulation"]][f"{per}_rows"]
            points = math.floor(Fraction(repr(row["alpha"])) * size)
            same(row, "points", points)
            same(row, "certified", sum(withstands[at] >= points for at in rows) / len(rows))
            same(row, "certified_right", sum(withstands[at] >= points and bool(right[at]) for at in rows) / len(rows))
    for row in (row for row in stored["table"] if row["group"] == "all"):
        one = [r for r in stored["table"] if r["group"] == "one" and r["alpha"] == row["alpha"] and r["attacked"]]
        same(row, "subpopulations", len(one))
        of_all = [at for r in one for at in range(len(y)) if member[at] == r["subpopulation"]]
        same(row, "withstood", held(of_all, False))
        same(row, "withstood_right", held(of_all, True))
        for name in ("points", "certified", "certified_right", "ensemble_accuracy", "out_of_reach"):
            same(row, name, sum(r[name] for r in one) / len(one))
    print(f"table: {checked:,} cells of {len(stored['table'])} rows are as worked out here; most that a row withstands: {max(withstands)}")


# ---- parts and their models -----------------------------------------------------------------------------------------


def _seed(seed: int, *words: object) -> int:
    text = "\x1f".join(map(str, (seed, *words)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _models(stored: dict[str, Any], many: int) -> None:
    from engine.datasets import data_dir, load
    from engine.scenario.parse import stored as scenario_of
    from engine.scenario.toml import write

    scenario = stored["scenario"]
    s = scenario_of(write(scenario))
    dataset = load(s.dataset, s.seed, data_dir(None))
    x, y = dataset.train.x.reshape(len(dataset.train), -1), dataset.train.y
    k, seed = len(stored["parts"]), scenario.get("seed", 0)
    digests = [blake2b((row + np.float32(0)).astype("<f4").tobytes(), digest_size=16, person=b"subpop part").digest() for row in x]
    members: list[list[int]] = [[] for _ in range(k)]
    for row in sorted(range(len(x)), key=lambda row: (digests[row], y[row])):
        members[int.from_bytes(digests[row][:8], "big") % k].append(row)
    assert [len(rows) for rows in members] == [rows for _, rows, _, _ in stored["parts"]]
    sizes = sorted(map(len, members))
    print(f"parts: {k} of {sizes[0]} to {sizes[-1]} rows, each row where its hash puts it, as many as stored")
    kind = torch.float64 if scenario["compute"].get("precision") == "float64" else torch.float32
    test = torch.from_numpy(dataset.test.x.reshape(len(dataset.test), -1)).to(kind)
    for number in np.linspace(0, k - 1, many).astype(int):
        rows, of_part = members[number], _seed(seed, "part", number)
        mine_x, mine_y = torch.from_numpy(x[rows]).to(kind), torch.from_numpy(y[rows])
        says, epochs = _trained(scenario["model"], mine_x, mine_y, len(stored["classes"]), of_part, test)
        theirs, their_epochs = stored["parts"][number][3], stored["parts"][number][2]
        print(
            f"part {number}: {len(rows)} rows, {epochs} epochs here and {their_epochs} there, "
            f"{int((says != theirs).sum())} of {len(says):,} predictions differ"
        )


def _trained(
    model: dict[str, Any], x: torch.Tensor, y: torch.Tensor, classes: int, seed: int, test: torch.Tensor
) -> tuple[np.ndarray, int]:
    outputs = 1 if classes == 2 else classes
    widths = [x.shape[1], *(model["hidden"] if model["kind"] == "mlp" else ()), outputs]
    draws = torch.Generator().manual_seed(_seed(seed, "initial weights", 0))
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        linear = nn.Linear(fan_in, fan_out, dtype=x.dtype)
        bound = math.sqrt(6 / (fan_in + fan_out))
        with torch.no_grad():
            linear.weight.copy_(((torch.rand((fan_in, fan_out), generator=draws, dtype=torch.float64) * 2 - 1) * bound).T)
            linear.bias.copy_((torch.rand(fan_out, generator=draws, dtype=torch.float64) * 2 - 1) * bound)
        layers += [linear, nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    adam = torch.optim.Adam(net.parameters(), lr=model["lr"])
    batch, n, best, stale = model["batch"], len(x), math.inf, 0
    cuts = list(range(0, n, batch))
    if len(cuts) > 1 and (n - cuts[-1]) * 8 < batch:
        cuts.pop()  # a rest of less than an eighth of a batch joins the one before
    for epoch in range(model["epochs"]):
        order = np.random.Generator(np.random.PCG64(_seed(seed, "batch order", 0, epoch))).permutation(n)
        total = 0.0
        for lo, hi in zip(cuts, [*cuts[1:], n], strict=True):
            rows = torch.from_numpy(order[lo:hi])
            z = net(x[rows])
            of_rows = (
                nn.functional.binary_cross_entropy_with_logits(z[:, 0], y[rows].to(z.dtype))
                if outputs == 1
                else nn.functional.cross_entropy(z, y[rows])
            )
            decay = model.get("weight_decay", 0.0) / (hi - lo if model.get("weight_decay_per") == "rows" else 1)
            loss = of_rows + decay / 2 * sum((part.weight**2).sum() for part in net if isinstance(part, nn.Linear))
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += float(loss.detach()) * (hi - lo)
        if model.get("stop") == "plateau":
            stale = stale + 1 if total / n > best - model["tol"] else 0
            best = min(best, total / n)
            if stale > model["patience"]:
                break
    with torch.no_grad():
        z = net(test)
        return (z[:, 0] > 0 if outputs == 1 else z.argmax(1)).numpy().astype(np.uint8), epoch + 1


if __name__ == "__main__":
    main()
