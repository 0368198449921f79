"""Runs written straight into a store, as a worker would: for tests, pictures and benchmarks of the app. No training.

python tests/worlds/app.py STORE --rows 300 --hz 5 --seconds 60      a live worker; tells each commit: tick, monotonic seconds, run
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine import versions
from engine.account.data import ColumnAccount, DataAccount, FileAccount, SplitAccount
from engine.rows import Membership, Subpopulation, Table, class_mix_words
from engine.store import Store
from engine.system.processes import identity
from engine.tables.columns import SPECS

ALPHAS = (0.5, 1.0, 2.0)
PLACES = ("Sales", "Craft-repair", "Exec-managerial", "Other-service", "Prof-specialty", "Tech-support", "Adm-clerical", "Farming-fishing")
SCENARIO = """title = "UCI Adult, ClusterMatch, label flipping"

[dataset]
kind = "adult"

[model]
kind = "mlp"

[subpopulations]
kind = "cluster_match"
"""

ABOUT = DataAccount(
    "adult",
    ("<=50K", ">50K"),
    tuple(SplitAccount(name, 100, (76, 24)) for name in ("train", "aux", "test")),
    (FileAccount("adult.data", "md5:5d7c39d7b8804f071cdd1f2a7c460872"),),
    57,
    (ColumnAccount("age", "number", 1), ColumnAccount("race", "one_hot", 5, 5), ColumnAccount("income", "label", levels=2)),
    versions.READING,
).as_json()  # what the process that holds the data says of them


def describe(index: int) -> str:
    return f"occupation={PLACES[index % len(PLACES)]}, age {20 + index % 50}, hours {30 + index % 25}"


def subpopulations(count: int) -> tuple[Subpopulation, ...]:
    dice = random.Random(3)
    made = []
    for index in range(count):
        rich = round(dice.uniform(0.05, 0.9), 3)
        size = dice.randint(12, 160)
        made.append(
            Subpopulation(
                index,
                describe(index),
                size + dice.randint(-5, 9),
                size,
                size + dice.randint(-8, 12),
                {"<=50K": round(1 - rich, 3), ">50K": rich},
                round(dice.uniform(0.55, 0.98), 6),
                round(dice.uniform(0.6, 0.99), 6),
                round(dice.uniform(0.6, 1.0), 6),
                ">50K" if rich < 0.5 else "<=50K",
                size < 130,
                "" if size < 130 else "more than max_size = 129 aux rows",
            )
        )
    return tuple(made)


def row_of(name: str, **values: object) -> tuple[object, ...]:
    """Cells of a table by column name; what is not given is None."""
    names = [column.name for column in SPECS[name].columns]
    unknown = set(values) - set(names)
    assert not unknown, unknown
    return tuple(values.get(column) for column in names)


def subpopulation_table(found: tuple[Subpopulation, ...]) -> Table:
    rows = []
    for s in found:
        mix = class_mix_words(s.class_mix)
        values = {
            "subpopulation": s.index,
            "description": s.description,
            "train_rows": s.train_rows,
            "aux_rows": s.aux_rows,
            "test_rows": s.test_rows,
            "class_mix": mix,
            "confidence": s.confidence,
            "confidence_in_sample": s.confidence_in_sample,
            "adversary_accuracy": s.clean_accuracy,
            "target_label": s.target_label,
            "attacked": s.attacked,
            "reason": s.reason or None,
        }
        rows.append(row_of("subpopulations", **values))
    return Table(SPECS["subpopulations"], tuple(rows))


def damage_row(index: int, alpha: float, trials: int, dice: random.Random) -> tuple[object, ...]:
    if not trials:
        return row_of("damage", subpopulation=index, description=describe(index), alpha=alpha, trials=0, aux_rows=50, test_rows=48)
    middle = max(-0.05, min(0.9, dice.gauss(0.05 + 0.09 * alpha + 0.25 * ((index * 37) % 100) / 100, 0.03)))
    half = 0.16 / trials
    clean = dice.uniform(0.7, 0.99)
    values = {
        "subpopulation": index,
        "description": describe(index),
        "alpha": alpha,
        "damage": middle,
        "low": middle - half if trials > 1 else None,
        "high": middle + half if trials > 1 else None,
        "trials": trials,
        "vulnerable": middle - half > 0 if trials > 2 else None,
        "p": dice.random() / 10,
        "q": dice.random() / 5,
        "p_from": "off_target" if trials > 2 else None,
        "off_target_victims": 28 * trials if trials > 2 else None,
        "clean_accuracy": clean,
        "poisoned_accuracy": clean - middle,
        "collateral": dice.gauss(0.003, 0.002),
        "off_target": dice.gauss(0.004, 0.01),
        "target_given": min(1.0, middle + 0.2),
        "target_given_clean": 0.2,
        "poison_points": 50.0 * alpha,
        "poison_share": 50 * alpha / 7841,
        "already_target": 0.0,
        "aux_rows": 50,
        "test_rows": 48,
    }
    return row_of("damage", **values)


def damage_table(count: int, trials: int, dice: random.Random, ready: float = 1.0) -> Table:
    """Damage of `count` subpopulations at every alpha; the share `ready` of them has values."""
    rows = [damage_row(i, alpha, trials if i < count * ready else 0, dice) for alpha in ALPHAS for i in range(count)]
    return Table(SPECS["damage"], tuple(rows))


def worst_table(trials: int) -> Table:
    published = {0.5: (0.333, 0.191, 0.121), 1.0: (0.375, 0.343, 0.24), 2.0: (0.667, 0.367, 0.224)}
    rows = []
    for alpha in ALPHAS:
        for k, paper in zip((1, 5, 10), published[alpha], strict=True):
            corrected = paper * 0.62 if trials > 1 else None
            few = None if trials > 1 else "one trial: choosing and scoring need different ones"
            values = {
                "alpha": alpha,
                "k": k,
                "as_published": paper * 0.97,
                "as_published_k": k,
                "corrected": corrected,
                "low": corrected - 0.05 if corrected is not None and trials > 2 else None,
                "high": corrected + 0.07 if corrected is not None and trials > 2 else None,
                "k_used": k,
                "eligible": 24,
                "attacked": 29,
                "eligible_share": 0.97,
                "test_rows": 60 * k,
                "fewest_test_rows": 9,
                "on_eligible": paper * 0.9,
                "left_out": "5 (6) 17 (7)",
                "trials": trials,
                "clean_accuracy": 0.85,
                "size": 44.0,
                "published": paper,
                "published_as": "Table 4, reading, about 97 %",
                "published_size": 45.1,
                "chosen": "17 4 9",
                "chosen_corrected": "4 17 9",
                "note": few,
            }
            rows.append(row_of("worst", **values))
    return Table(SPECS["worst"], tuple(rows))


def write_discovery(store: Store, run_id: str, count: int) -> None:
    import numpy as np

    found = subpopulations(count)
    nobody = Membership(*(np.zeros(4, np.int32) for _ in range(3)))
    store.save_discovery(
        run_id,
        subpopulations=found,
        membership=nobody,
        y_test=np.zeros(4, np.int64),
        classes=("<=50K", ">50K"),
        provenance={"code": "0.1.0", "device": "cpu"},
    )
    store.write_tables(run_id, {"subpopulations": subpopulation_table(found)})


def make_run(
    store: Store,
    *,
    name: str = "adult-clustermatch",
    state: str = "done",
    subpops: int = 40,
    trials: int = 3,
    ready: float = 1.0,
    error: str = "",
    deviations: tuple[str, ...] = (),
    pid: int | None = None,
) -> str:
    """A run as a worker would have left it. A run at work belongs to `pid` of this host (None: a worker that is gone)."""
    row = store.create_run(
        name=name,
        title="UCI Adult, ClusterMatch, label flipping",
        scenario_toml=SCENARIO,
        scenario_hash="5b1e0c64f2a97d38",
        deviations=deviations,
    )
    now = store.now()
    write_discovery(store, row.id, subpops)
    total = subpops * len(ALPHAS) * 3 + 3
    done = total if state == "done" else int(total * ready * trials / 3)
    store.update_run(row.id, started_at=now - 252, device="cpu", victims_total=total, victims_done=done, progress=done / total)
    store.write_tables(row.id, {"damage": damage_table(subpops, trials, random.Random(5), ready), "worst": worst_table(trials)})
    for level, message in (
        ("info", "adult: 7,841 train, 7,841 aux, 7,692 test rows"),
        ("info", f"{subpops} subpopulations, 31 attacked"),
        ("info", f"plan: {total} victims in 6 stacks"),
    ):
        store.log(row.id, level, message)
    if state in ("running", "paused"):
        store.claim(row.id, identity(pid if pid is not None else 4_000_000))
        store.update_run(row.id, state=state, phase="training trial 2 of 3", eta_s=187.0, victims_per_minute=48.0)
    else:
        store.update_run(row.id, state=state, phase="", finished_at=now, error=error)
        if error:
            store.log(row.id, "error", error.splitlines()[0])
    return row.id


def stamped(table: Table, tick: int) -> Table:
    """The first row's damage says which tick it is of, in thousandths."""
    at = [column.name for column in table.spec.columns].index("damage")
    first = (*table.rows[0][:at], (tick % 1000) / 1000, *table.rows[0][at + 1 :])
    return Table(table.spec, (first, *table.rows[1:]))


def live(store: Store, rows: int, hz: float, seconds: float, *, trials: int = 3) -> Iterator[str]:
    """Be a worker: every tick every row of the damage table changes. Yields the run's id after each commit."""
    subpops = max(1, rows // len(ALPHAS))
    run_id = make_run(store, name="live", state="running", subpops=subpops, pid=os.getpid())
    dice, start, tick = random.Random(1), time.monotonic(), 0
    while time.monotonic() - start < seconds:
        tick += 1
        store.write_tables(run_id, {"damage": stamped(damage_table(subpops, trials, dice), tick)})
        if tick % max(1, int(hz)) == 0:
            store.heartbeat(run_id)
            store.update_run(run_id, victims_done=min(tick, subpops * 9), eta_s=max(0.0, seconds - (time.monotonic() - start)))
        for request in store.take_requests(run_id):
            state = {"pause": "paused", "resume": "running", "stop": "stopped"}[request]
            store.update_run(run_id, state=state)
            if state == "stopped":
                return
        yield run_id
        time.sleep(max(0.0, start + tick / hz - time.monotonic()))
    store.update_run(run_id, state="done", finished_at=store.now())


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("store", type=Path)
    options.add_argument("--rows", type=int, default=300)
    options.add_argument("--hz", type=float, default=5.0)
    options.add_argument("--seconds", type=float, default=60.0)
    given = options.parse_args()
    with Store.open(given.store) as store:
        for tick, run_id in enumerate(live(store, given.rows, given.hz, given.seconds), 1):
            print(tick, time.monotonic(), run_id, flush=True)


if __name__ == "__main__":
    main()
