"""The product's schedule against the published protocol, in distribution: accuracy of poisoned and of clean victims on the targets.

    uv run python -m tests.studies.schedules [--part adult|batches|digits|pictures|sklearn|all] [--trials 150] [--out FILE] [--jobs 2]

product     as it trains: every victim of a trial from the same weights, on the same clean batches, its poison placed among them
published   every victim from its own weights, on its own shuffles of train and poison together (`published.py`)

Both have the same discovery and, in a trial, the same poison points. A figure is the mean over targets and trials; its standard error is
over trials, each counted once however many victims it has: the targets of a trial share its clean victim (and, in the product, weights and
batches too). Of the two sides, trials are taken as unrelated (Welch); of two batch sizes of the product they are paired (of 7,841 rows,
batches of 196 leave one row over, of 197 they leave 158, of 200 41). Exit status 1 where the 95 % interval of a difference leaves +-0.03.

With --out, a part's table is appended to FILE when it is done, and every trial's figures to the .jsonl beside it when it is trained: a
study that was cut off goes on where it was. All parts take some hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy import stats
from sklearn.neural_network import MLPClassifier

from engine.models.dense.mlp import Mlp
from engine.models.networks.network import Network
from engine.pipeline import order as pipeline
from engine.pipeline.order import Discovery
from engine.rows import StackPlan, Subpopulation, VictimSpec
from engine.scenario.sections import Scenario
from engine.training.recipe import Trained
from engine.training.trial import How
from engine.versions import SCHEDULE
from engine.victims.choose import victims_of
from engine.victims.dense import predict
from engine.victims.family import job_of, training_of
from engine.victims.networks import logits_of
from tests.studies.common import discovered
from tests.studies.published import own_init, own_order, train_published, train_published_pictures

WITHIN = 0.03
PICTURES = (  # the paper's small network on faces; 481 rows in batches of 32 leave a last one of a single row
    "dataset.kind='utkface'",
    "dataset.image_size=8",
    "dataset.rows=481",
    "subpopulations.layer='input'",
    "subpopulations.clusters=6",
    "subpopulations.pca=20",
    "attack.alphas=[1, 2]",
)
PICTURE_TRIALS = 40  # at most: a trial of pictures costs ten of Adult
FITTED = 5  # targets that scikit-learn's own classifier is trained for: those with the most poison


@dataclass(frozen=True)
class World:
    """What is trained, by either side."""

    given: Scenario
    found: Discovery

    @property
    def targets(self) -> list[Subpopulation]:
        return [s for s in self.found.subpopulations if s.attacked and s.test_rows]

    def specs(self, trial: int) -> list[VictimSpec]:
        specs = pipeline.victims_of_trial(self.given, self.found.subpopulations, trial, 0)
        return [s for s in specs if s.subpopulation is None or self.found.subpopulations[s.subpopulation].test_rows]

    def turned(self, **model: object) -> World:
        """The same with other keys of the model; subpopulations and poison stay."""
        return replace(self, given=self.given.model_copy(update={"model": self.given.model.model_copy(update=model)}))


@dataclass(frozen=True)
class Trial:
    """What became of one trial. Accuracies on each target's test rows, in the order of the targets.

    clean: of its clean victim; poisoned: alpha -> of the victim aimed at that target.
    """

    trial: int
    clean: list[float]
    poisoned: dict[str, list[float]]

    @classmethod
    def of(cls, world: World, trial: int, predictions: Sequence[np.ndarray]) -> Trial:
        """predictions: of the victims of `world.specs(trial)`, uint8 [test rows] each."""
        y, member = world.found.dataset.test.y, world.found.membership.test

        def accuracy(predicted: np.ndarray, target: int) -> float:
            return float((predicted == y)[member == target].mean())

        by = {(s.subpopulation, s.alpha): p for s, p in zip(world.specs(trial), predictions, strict=True)}
        targets = [s.index for s in world.targets]
        alphas = world.given.attack.alphas
        poisoned = {f"{alpha:g}": [accuracy(by[target, alpha], target) for target in targets] for alpha in alphas}
        return cls(trial, [accuracy(by[None, None], target) for target in targets], poisoned)


Side = Callable[[World, Sequence[int]], Iterable[Trial]]


# ---- the ways of training -------------------------------------------------------------------------------------------


def product(world: World, trials: Sequence[int]) -> Iterator[Trial]:
    """The product itself, a trial a stack."""
    for trial in trials:
        results = pipeline.train_stack(pipeline.StackJob(world.given, world.found, StackPlan(0, trial, tuple(world.specs(trial))), "cpu"))
        yield Trial.of(world, trial, [result.predictions for result in results])


def published(world: World, trials: Sequence[int], jobs: int) -> Iterator[Trial]:
    """The published protocol, `jobs` trials side by side."""
    yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(published_trial)(world, trial) for trial in trials)


def published_trial(world: World, trial: int) -> Trial:
    one_thread()
    given, found, seed = world.given, world.found, world.given.seed
    victims, data = victims_of(given.model, found.dataset, seed), training_of(found.dataset)
    model, recipe = victims.model, victims.recipe
    poison = [job_of(pipeline.poison_of(given, found, spec)) for spec in world.specs(trial)]
    inits = [own_init(model, seed, trial, v) for v in range(len(poison))]
    order = partial(own_order, seed, trial)
    cpu = torch.device("cpu")
    if isinstance(model, Mlp):
        params = [t.params for t in train_published(model, inits, data, poison, recipe, order)]
        return Trial.of(world, trial, list(predict(model, params, found.dataset.test.x, cpu, torch.float32)))
    assert isinstance(model, Network)
    predictions = []
    for v, job in enumerate(poison):
        fit: Trained = train_published_pictures(model, inits[v], data, job, recipe, order, seed=seed, trial=trial, victim=v)
        logits = logits_of(model, fit.params, found.dataset.test.x, How(cpu, torch.float32))
        predictions.append(torch.cat([model.predict(z) for z in logits]).numpy())
    return Trial.of(world, trial, predictions)


def scikit_learn(world: World, trials: Sequence[int], jobs: int) -> Iterator[Trial]:
    """Its MLPClassifier on the same rows, its own weights and shuffles."""
    yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(scikit_learn_trial)(world, trial) for trial in trials)


def scikit_learn_trial(world: World, trial: int) -> Trial:
    one_thread()
    dataset, recipe, predictions = world.found.dataset, victims_of(world.given.model, world.found.dataset).recipe, []
    for v, spec in enumerate(world.specs(trial)):
        poison = pipeline.poison_of(world.given, world.found, spec)
        classifier = MLPClassifier(
            world.given.model.hidden, alpha=recipe.weight_decay, batch_size=recipe.batch, learning_rate_init=recipe.lr,
            max_iter=recipe.epochs, tol=recipe.tol, n_iter_no_change=recipe.patience, random_state=1000 * trial + v,
        )  # fmt: skip
        x, y = np.concatenate([dataset.train.x, dataset.aux.x[poison.rows]]), np.concatenate([dataset.train.y, poison.labels])
        predictions.append(classifier.fit(x, y).predict(dataset.test.x))
    return Trial.of(world, trial, predictions)


def one_thread() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # rows come as memory maps, and are only read


# ---- trials kept ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Study:
    """How many trials, and where what came of them is kept (None: nowhere)."""

    trials: int
    jobs: int
    out: Path | None = None

    def of(self, name: str, world: World, side: Side, trials: int | None = None) -> list[Trial]:
        """The trials of one side, those kept already not trained anew. name: tells it from everything else in the file."""
        wanted, lines = range(trials or self.trials), self.out.with_suffix(".jsonl") if self.out else None
        kept = [json.loads(line) for line in lines.read_text().splitlines()] if lines and lines.exists() else []
        mine = {k["trial"]: Trial(k["trial"], k["clean"], k["poisoned"]) for k in kept if k["of"] == name}
        missing = [trial for trial in wanted if trial not in mine]
        print(f"{name}: {len(world.targets)} targets, {len(wanted)} trials, {len(wanted) - len(missing)} of them kept", file=sys.stderr)
        for trial in side(world, missing):
            mine[trial.trial] = trial
            print(f"{name}: trial {trial.trial}, {len(mine)} done", file=sys.stderr, flush=True)
            if lines:
                with lines.open("a") as file:
                    file.write(json.dumps({"of": name, "trial": trial.trial, "clean": trial.clean, "poisoned": trial.poisoned}) + "\n")
        return [mine[trial] for trial in wanted]

    def say(self, text: str) -> None:
        print(text, flush=True)
        if self.out:
            with self.out.open("a") as file:
                file.write(text + "\n")

    def product(self, name: str, world: World) -> list[Trial]:
        return self.of(f"{name}, product, schedule {SCHEDULE}", world, product)

    def published(self, name: str, world: World) -> list[Trial]:
        return self.of(f"{name}, published", world, partial(published, jobs=self.jobs))


# ---- what is said of them -------------------------------------------------------------------------------------------


def figures(trials: Sequence[Trial]) -> dict[str, np.ndarray]:
    """What is compared -> its mean over targets in each trial, float64 [trials]."""
    clean = np.array([np.mean(t.clean) for t in trials])
    found = {"clean": clean}
    for alpha in trials[0].poisoned:
        poisoned = np.array([np.mean(t.poisoned[alpha]) for t in trials])
        found |= {f"poisoned, alpha {alpha}": poisoned, f"damage, alpha {alpha}": clean - poisoned}
    return found


def compared(names: tuple[str, str], a: Sequence[Trial], b: Sequence[Trial], *, by_trial: bool = False) -> tuple[str, bool]:
    """A table in Markdown of b - a, and whether the interval of every difference lies within +-WITHIN. by_trial: trials are paired."""
    lines = [f"| | {names[0]} (s.e.) | {names[1]} (s.e.) | {names[1]} − {names[0]} | 95 % interval | within ±{WITHIN:g} |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    every = True
    left, right = figures(a), figures(b)
    for name in left:
        x, y = left[name], right[name]
        test = stats.ttest_rel(y, x) if by_trial else stats.ttest_ind(y, x, equal_var=False)
        low, high = test.confidence_interval(0.95)
        holds = bool(low >= -WITHIN and high <= WITHIN)
        every &= holds
        of = " | ".join(f"{v.mean():.4f} ({v.std(ddof=1) / len(v) ** 0.5:.4f})" for v in (x, y))
        interval = f"{low:+.4f} to {high:+.4f}"
        lines.append(f"| {name} | {of} | {y.mean() - x.mean():+.4f} | {interval} | {'yes' if holds else 'NO'} |")
    return "\n".join(lines), every


def tell(study: Study, title: str, names: tuple[str, str], a: Sequence[Trial], b: Sequence[Trial], *, by_trial: bool = False) -> bool:
    table, holds = compared(names, a, b, by_trial=by_trial)
    count = len(a[0].clean)
    study.say(f"\n### {title}\n{count} targets; {len(a)} and {len(b)} trials; {names[0]}, then {names[1]}\n\n{table}")
    return holds


# ---- the parts ------------------------------------------------------------------------------------------------------


def both(study: Study, title: str, name: str, world: World) -> bool:
    """The two sides of one world; the product first, which is quicker."""
    ours, theirs = study.product(name, world), study.published(name, world)
    return tell(study, title, ("published", "product"), theirs, ours)


def adult_world(trials: int) -> World:
    return World(*discovered("adult-clustermatch", f"evaluation.trials={trials}"))


def adult(study: Study) -> bool:
    world = adult_world(study.trials)
    return both(study, f"Adult, ClusterMatch, {batch_name(world)}", f"adult, {batch_name(world)}", world)


def batch_name(world: World) -> str:
    return f"batch {world.given.model.batch}, seed {world.given.seed}"


def batches(study: Study) -> bool:
    published_size = adult_world(study.trials)
    worlds = {batch: published_size.turned(batch=batch) for batch in (196, 197, 200)}
    ours = {batch: study.product(f"adult, {batch_name(world)}", world) for batch, world in worlds.items()}
    within = [
        tell(study, f"Adult, the product's batches, seed {worlds[a].given.seed}", (f"{a}", f"{b}"), ours[a], ours[b], by_trial=True)
        for a, b in ((196, 197), (196, 200), (197, 200))
    ]
    within += [both(study, f"Adult, ClusterMatch, {batch_name(w)}", f"adult, {batch_name(w)}", w) for b, w in worlds.items() if b != 200]
    return all(within)


def digits(study: Study) -> bool:
    world = World(*discovered("quickstart", "attack.alphas=[1]", f"evaluation.trials={study.trials}"))
    return both(study, f"Digits, seed {world.given.seed}", f"digits, seed {world.given.seed}", world)


def pictures(study: Study) -> bool:
    study = replace(study, trials=min(study.trials, PICTURE_TRIALS))
    world = World(*discovered("cifar10-conv", *PICTURES, f"evaluation.trials={study.trials}"))
    keys = " ".join(PICTURES)
    return both(study, f"Faces, conv, `{keys}`, seed {world.given.seed}", f"pictures, {keys}, seed {world.given.seed}", world)


def sklearn(study: Study) -> bool:
    """An independent check of `published.py`: a few targets at the largest alpha, by scikit-learn's own classifier."""
    world = adult_world(study.trials)
    most = sorted(world.targets, key=lambda s: -s.train_rows)[:FITTED]
    few = tuple(replace(s, attacked=s in most) for s in world.found.subpopulations)
    attack = world.given.attack.model_copy(update={"alphas": (2.0,)})
    world = World(world.given.model_copy(update={"attack": attack}), replace(world.found, subpopulations=few))
    name = f"adult, {FITTED} largest targets, seed {world.given.seed}"
    ours = study.published(name, world)
    theirs = study.of(f"{name}, scikit-learn", world, partial(scikit_learn, jobs=study.jobs))
    return tell(study, f"Adult, scikit-learn's MLPClassifier, seed {world.given.seed}", ("scikit-learn", "published"), theirs, ours)


PARTS = {"adult": adult, "batches": batches, "digits": digits, "pictures": pictures, "sklearn": sklearn}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all", help="all: every one but sklearn, which is slow")
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--jobs", type=int, default=2, help="trials of the published protocol side by side")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    study = Study(options.trials, options.jobs, options.out)
    chosen = [part for part in PARTS if part != "sklearn"] if options.part == "all" else [options.part]
    within = [PARTS[part](study) for part in chosen]  # every part, whatever the one before came to
    sys.exit(0 if all(within) else 1)


if __name__ == "__main__":
    main()
