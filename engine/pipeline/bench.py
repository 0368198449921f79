"""What stacking buys on this machine: the same victims, poison, batch and epochs, three ways in one run.

one by one, eager      a plain PyTorch loop (`training/reference/sequential.py`), at its best thread count
one by one, sklearn    scikit-learn's MLPClassifier on train + poison, at its best split of processes and threads
stacked, or subpop     what `subpop run` does

Of networks that are trained whole, and of last layers of BERTs, a few steps are timed, and an hour's victims worked out from them: whole
epochs would take hours. What is reached is held against the limit of the device that this family meets first (`LIMITS`), measured between
the rounds.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from engine.pipeline import order as pipeline
from engine.scenario.sections import ClusterMatchSection, MlpSection, Scenario, TrainedKeys
from engine.seeds import generator
from engine.system.limits import convolution_rate, copy_rate, matrix_rate
from engine.system.pace import step_of
from engine.system.processes import cores
from engine.system.threads import of_torch
from engine.training.recipe import Job, Training
from engine.training.trial import Trial
from engine.victims.choose import AnyFamily, family_of, victims_of
from engine.victims.family import LimitName, how, job_of, training_of, workers

EPOCHS = 20  # where the scenario stops on a plateau: the ratio does not depend on it
ROUNDS = 3  # each way in turn, so that a change in the machine's speed falls on all of them

ROUND_S = 4.0  # networks: of each way
SUBPOPULATIONS = 100  # of FeatureMatch, whose number no key tells


@dataclass(frozen=True)
class Way:
    """One way of training: how fast, over the rounds (median), and how it was set up."""

    name: str
    victims_per_hour: float
    seconds_per_victim: float
    setup: str


@dataclass(frozen=True)
class Limit:
    """What the family's work comes to a second, and what this device does a second at most: both in units of 1e9."""

    name: LimitName
    definition: str
    reached: float
    most: float
    unit: str

    @property
    def share(self) -> float:
        return self.reached / self.most

    def line(self) -> str:
        return f"{self.reached:.3g} of {self.most:.3g} {self.unit}, {self.share:.0%} ({self.definition})"


LIMITS: dict[LimitName, tuple[str, str]] = {
    "matrix": ("GFLOP/s", "multiply-adds of the dense layers, counted as two, over this device's own rate of a square matrix product"),
    "kernels": (
        "GFLOP/s",
        "operations forward and backward, over the higher of this device's own rates of a matrix product and of a 3x3 convolution",
    ),
    "copy": (
        "GB/s",
        "bytes of victims' weights, gradients and moments that a step must read or write, and of its rows' states twice, over this "
        "device's own copy bandwidth",
    ),
    "mfu": (
        "GFLOP/s",
        "model FLOPs utilisation: three times the forward operations over tokens that are no padding, over this device's own rate of a "
        "square matrix product",
    ),
}


def most_of(name: LimitName, device: torch.device, dtype: torch.dtype) -> float:
    """What the device does a second at most, as the limit has it."""
    if name == "copy":
        return copy_rate(device)
    return max(matrix_rate(device, dtype), convolution_rate(device, dtype) if name == "kernels" else 0.0)


def _limit(name: LimitName, work_a_second: float, most: Sequence[float]) -> Limit:
    unit, definition = LIMITS[name]
    return Limit(name, definition, work_a_second / 1e9, statistics.median(most) / 1e9, unit)


@dataclass(frozen=True)
class Bench:
    """Ratios are medians over rounds of the ratio within a round. weights: "random" where the victims' are not the published ones.

    steps_timed: how many steps the times were worked out from; None where victims were trained whole.
    """

    device: str
    rows: int
    features: int
    victims: int
    poison_points: float
    batch: int
    epochs: int
    ways: tuple[Way, ...]
    times_eager: float
    times_sklearn: float | None
    limit: Limit
    precision: str = "float32"
    steps_timed: int | None = None
    weights: str | None = None

    def lines(self) -> list[str]:
        """What was measured, for a person."""
        recipe = f"batch {self.batch}, {self.epochs} epochs, {self.poison_points:.0f} poison points on average"
        ways = [
            f"{way.name:<8} {way.victims_per_hour:10,.0f} victims an hour, {way.seconds_per_victim * 1e3:7.1f} ms each ({way.setup})"
            for way in self.ways
        ]
        ratios = [f"{self.ways[-1].name} is {self.times_eager:.1f} times the eager loop"]
        if self.times_sklearn is not None:
            ratios.append(f"{self.times_sklearn:.1f} times scikit-learn")
        head = f"{self.victims} victims on {self.device}: {self.rows:,} rows x {self.features}, {recipe}"
        if self.steps_timed is not None:
            head += f"; worked out from {self.steps_timed} steps in {self.precision}, training alone, poison drawn at random"
        if self.weights == "random":
            head += "; random weights, which are as fast as any"
        return [head, *ways, " and ".join(ratios), f"in {self.precision} it reaches {self.limit.line()}"]


def run(scenario: Scenario, data_dir: Path, *, device: str = "cpu", report: Callable[[str], None] = lambda line: None) -> Bench:
    """Measure the scenario's first trial; scikit-learn is left out on CUDA and for other models than mlp. report is told each phase."""
    family = family_of(scenario.model)
    if family.BENCH is None:
        raise family.unmeasured(scenario.model)
    if family.BENCH == "steps":
        return _run_network(scenario, data_dir, device, report)
    assert isinstance(scenario.model, TrainedKeys)  # what is trained in stacks
    discovery = pipeline.discover(scenario, data_dir, device=device, log=report, progress=_phases(report))
    first = scenario.evaluation.first_trial
    specs = pipeline.victims_of_trial(scenario, discovery.subpopulations, first, 0)
    epochs = EPOCHS if scenario.model.stop == "plateau" else min(scenario.model.epochs, EPOCHS)
    section = scenario.model.model_copy(update={"epochs": epochs, "stop": "epochs"})
    scenario = scenario.model_copy(update={"model": section})
    where = torch.device(device)
    on = how(scenario.compute, device)
    victims = victims_of(section, discovery.dataset, scenario.seed)
    data = training_of(discovery.dataset).to(where, on.dtype)
    jobs = [job_of(pipeline.poison_of(scenario, discovery, spec)) for spec in specs]
    few = _spread(jobs, 4)
    points = statistics.mean(len(job.rows) for job in jobs)
    report(f"{len(jobs)} victims, {len(data.y_N)} rows x {data.x_NF.shape[1]}, {points:.0f} poison points on average, {epochs} epochs")

    report("timing stacks")
    plan = pipeline.plan(scenario, discovery, device, log=report)
    stacks = [stack for stack in plan if stack.trial == first]
    eager = _Eager(victims, data, Trial(scenario.seed, 0, on))
    report("timing the eager loop's threads")
    eager.choose_threads(few[:1])
    sklearn = _Sklearn(discovery, section) if device == "cpu" and isinstance(section, MlpSection) else None
    if sklearn:
        report("timing scikit-learn's processes and threads")
        sklearn.choose_setup(jobs)
    todo = [pipeline.StackJob(scenario, discovery, stack, device) for stack in stacks]
    report("warming up: a stack that is not counted")
    pipeline.train_stack(todo[0])  # the first stack of a process also pays for its start

    taken: dict[str, list[float]] = {"eager": [], "sklearn": [], "stacked": []}
    rates = []
    for round_ in range(ROUNDS):
        report(f"round {round_ + 1} of {ROUNDS} begins")
        taken["stacked"].append(_seconds(lambda: [pipeline.train_stack(each) for each in todo]) / len(jobs))
        taken["eager"].append(_seconds(lambda: eager.train(few)) / len(few))
        if sklearn:
            taken["sklearn"].append(sklearn.seconds_per_victim(_spread(jobs, 4 * sklearn.processes)))
        rates.append(most_of(family.LIMIT, where, on.dtype))
        report(f"round {round_ + 1} of {ROUNDS}: " + ", ".join(f"{name} {t[-1] * 1e3:.1f} ms a victim" for name, t in taken.items() if t))
    per_victim = statistics.median(taken["stacked"])
    setups = {"eager": eager.setup, "sklearn": sklearn.setup if sklearn else "", "stacked": f"{len(stacks[0].victims)} victims a stack"}
    bench = Bench(
        device=device,
        rows=len(data.y_N),
        features=data.x_NF.shape[1],
        victims=len(jobs),
        poison_points=points,
        batch=section.batch,
        epochs=epochs,
        ways=tuple(Way(n, 3600 / statistics.median(t), statistics.median(t), setups[n]) for n, t in taken.items() if t),
        times_eager=_median_ratio(taken["eager"], taken["stacked"]),
        times_sklearn=_median_ratio(taken["sklearn"], taken["stacked"]) if sklearn else None,
        limit=_limit(family.LIMIT, epochs * victims.work(data, jobs) / (len(jobs) * per_victim), rates),
        precision=scenario.compute.precision,
        weights=getattr(section, "weights", None),
    )
    for line in bench.lines():
        report(line)
    return bench


def _run_network(scenario: Scenario, data_dir: Path, device: str, report: Callable[[str], None]) -> Bench:
    """The same of some steps, on rows of the scenario with poison drawn at random: no adversary is trained to choose it."""
    section, on = scenario.model, how(scenario.compute, device)
    assert isinstance(section, TrainedKeys)
    dataset = pipeline.load(scenario, data_dir, device=device, log=report, progress=_phases(report))
    victims = victims_of(section, dataset, scenario.seed)
    data = training_of(dataset).to(on.device, on.dtype)
    side_by_side = workers(scenario, on.device)
    size = scenario.compute.victims_per_stack
    together = victims.company(on, side_by_side) if size == "auto" else size
    many = scenario.subpopulations.clusters if isinstance(scenario.subpopulations, ClusterMatchSection) else SUBPOPULATIONS
    points = int(max(scenario.attack.alphas) * len(dataset.aux)) // many
    draw = generator(scenario.seed, "bench poison")
    jobs = [Job(draw.integers(len(dataset.aux), size=points), draw.integers(len(dataset.classes), size=points)) for _ in range(together)]

    def product(steps: int) -> None:
        victims.fit(data, jobs, Trial(scenario.seed, 0, on, workers=side_by_side, max_steps=steps))

    def plain(steps: int, threads: int) -> None:
        with of_torch(threads):
            victims.plain(data, jobs[0], Trial(scenario.seed, 0, on, max_steps=steps))

    per_epoch = -(-len(data.y_N) // section.batch)
    all_steps = per_epoch * section.epochs
    report("warming up: a step that is not counted")
    product(1)  # the first of a process also pays for its start
    report("timing the eager loop's threads")
    threads = min(sorted({1, cores()}), key=lambda n: _seconds_a_step(lambda steps: plain(steps, n), 1)) if device == "cpu" else 1
    report("timing steps, for how many a round takes")
    steps = min(per_epoch - 1, max(2, int(ROUND_S / _seconds_a_step(product, 2))))
    taken: dict[str, list[float]] = {"eager": [], "subpop": []}
    rates = []
    for round_ in range(ROUNDS):
        report(f"round {round_ + 1} of {ROUNDS} begins")
        taken["subpop"].append(_seconds_a_step(product, steps) / together * all_steps)
        taken["eager"].append(_seconds_a_step(lambda n: plain(n, threads), steps) * all_steps)
        rates.append(most_of(victims.LIMIT, on.device, torch.bfloat16 if on.autocast else on.dtype))
        report(
            f"round {round_ + 1} of {ROUNDS}: "
            + ", ".join(f"{n} {t[-1] / all_steps * 1e3:.1f} ms a victim's step" for n, t in taken.items())
        )
    per_victim = statistics.median(taken["subpop"])
    company = f"{together} {'together' if device != 'cpu' or together > side_by_side else 'side by side'}"
    setups = {"eager": f"{threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else device, "subpop": company}
    bench = Bench(
        device=device,
        rows=len(data.y_N),
        features=int(np.prod(dataset.train.x.shape[1:])),
        victims=together,
        poison_points=points,
        batch=section.batch,
        epochs=section.epochs,
        ways=tuple(Way(n, 3600 / statistics.median(t), statistics.median(t), setups[n]) for n, t in taken.items()),
        times_eager=_median_ratio(taken["eager"], taken["subpop"]),
        times_sklearn=None,
        limit=_limit(victims.LIMIT, section.epochs * victims.work(data, jobs) / (together * per_victim), rates),
        precision=scenario.compute.precision,
        steps_timed=steps,
        weights=getattr(section, "weights", None),
    )
    for line in bench.lines():
        report(line)
    return bench


def _phases(report: Callable[[str], None]) -> Callable[[str, float], None]:
    """Progress as lines: each step once."""
    said: set[str] = set()

    def progress(what: str, share: float) -> None:
        if step_of(what) not in said:
            said.add(step_of(what))
            report(step_of(what))

    return progress


def _seconds_a_step(train: Callable[[int], None], steps: int) -> float:
    """What a step takes, start and end left out: one step, and that many more."""
    one = _seconds(lambda: train(1))
    return max((_seconds(lambda: train(1 + steps)) - one) / steps, 1e-6)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _median_ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def _spread(jobs: Sequence[Job], count: int) -> list[Job]:
    """`count` jobs evenly over the list, which is ordered by poison points."""
    return [jobs[i] for i in np.linspace(0, len(jobs) - 1, min(count, len(jobs))).astype(int)]


class _Eager:
    """One victim after the other, in a plain loop."""

    def __init__(self, victims: AnyFamily, data: Training, trial: Trial) -> None:
        self.victims, self.data, self.trial, self.device = victims, data, trial, str(trial.how.device)
        self.threads = 1

    def choose_threads(self, jobs: Sequence[Job]) -> None:
        self.train(jobs)
        self.threads = min(sorted({1, cores()}), key=lambda n: _seconds(lambda: self.train(jobs, n)))

    @property
    def setup(self) -> str:
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}" if self.device == "cpu" else self.device

    def train(self, jobs: Sequence[Job], threads: int | None = None) -> None:
        with of_torch(threads or self.threads):
            for job in jobs:
                self.victims.plain(self.data, job, self.trial)


class _Sklearn:
    """MLPClassifier, one victim a call, spread over processes."""

    def __init__(self, discovery: pipeline.Discovery, section: MlpSection) -> None:
        self.train, self.aux, self.section = discovery.dataset.train, discovery.dataset.aux, section
        self.cores = cores()
        self.processes, self.threads = self.cores, 1

    @property
    def setup(self) -> str:
        return f"{self.processes} process{'es' if self.processes > 1 else ''} x {self.threads} thread{'s' if self.threads > 1 else ''}"

    def choose_setup(self, jobs: Sequence[Job]) -> None:
        """One process a core, or one process with all threads: whichever is faster here."""
        timed = {}
        for setup in sorted({(self.cores, 1), (1, self.cores), (1, 1)}):
            self.processes, self.threads = setup
            self.seconds_per_victim(_spread(jobs, self.processes))  # starts the processes
            timed[setup] = self.seconds_per_victim(_spread(jobs, 2 * self.processes))
        self.processes, self.threads = min(timed, key=timed.__getitem__)

    def seconds_per_victim(self, jobs: Sequence[Job]) -> float:
        fixed = {"train_x": self.train.x, "train_y": self.train.y, "section": self.section, "threads": self.threads}
        calls = [delayed(_fit_sklearn)(self.aux.x[job.rows], job.labels, seed, **fixed) for seed, job in enumerate(jobs)]
        return _seconds(lambda: Parallel(n_jobs=self.processes)(calls)) / len(jobs)


def _fit_sklearn(  # type: ignore[no-untyped-def]
    poison_x, poison_y, seed: int, *, train_x, train_y, section: MlpSection, threads: int
) -> None:
    from sklearn.neural_network import MLPClassifier

    fit = MLPClassifier(
        section.hidden,
        alpha=section.weight_decay,
        batch_size=section.batch,
        learning_rate_init=section.lr,
        max_iter=section.epochs,
        n_iter_no_change=section.epochs + 1,
        random_state=seed,
    )
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it has not converged: it was told to stop
        fit.fit(np.concatenate([train_x, poison_x]), np.concatenate([train_y, poison_y]))
