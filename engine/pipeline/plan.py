"""Which victims train together, before any is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine import rates
from engine.models import build as models
from engine.pipeline.discovery import Discovery, Log
from engine.pipeline.train import job, poison_of, training
from engine.rows import Arm, StackPlan, Subpopulation, VictimSpec
from engine.scenario.sections import Scenario
from engine.training.encoders.stack import bytes_a_victim
from engine.training.sizing import STEPS_TIMED, free_bytes, measured_size, timed
from engine.victims.family import TextHead, Whole, fit, how, model_of, one_thread_each, workers

STACK_S = 60.0  # a stack of networks takes about so long: what a crash may lose
FEW_STEPS = 3  # of a network, timed to work that out


def victims_of_trial(scenario: Scenario, found: Sequence[Subpopulation], trial: int, first: int) -> list[VictimSpec]:
    """The trial's victims, the clean one first, numbered from `first`; those with the most poison next, so that padding is short."""
    controls: tuple[Arm, ...] = ("true_label", "label_flip")
    arms: list[Arm] = ["poisoned", *(arm for arm in controls if arm in scenario.evaluation.controls)]
    per_train = scenario.attack.per == "train"
    targets = [
        (rates.count(alpha, s.train_rows if per_train else s.aux_rows), arm, s.index, alpha)
        for s in found
        if s.attacked
        for alpha in scenario.attack.alphas
        for arm in arms
    ]
    targets.sort(key=lambda t: (-t[0], t[1], t[2], t[3]))
    clean = VictimSpec(first, trial, "clean")
    return [clean, *(VictimSpec(first + 1 + i, trial, arm, index, alpha) for i, (_, arm, index, alpha) in enumerate(targets))]


def plan(scenario: Scenario, discovery: Discovery, device: str, *, log: Log) -> tuple[StackPlan, ...]:
    """Which victims train together, for every trial, before any is trained."""
    one_thread_each()
    per_trial = len(victims_of_trial(scenario, discovery.subpopulations, 0, 0))
    size = scenario.compute.victims_per_stack
    if size == "auto":
        size = _best_size(scenario, discovery, torch.device(device), per_trial)
        parts = workers(scenario, torch.device(device))
        log(f"{size} victims a stack, by memory and measured speed on {device}, {parts} {'part' if parts == 1 else 'parts'} side by side")
    stacks: list[StackPlan] = []
    for at, trial in enumerate(scenario.evaluation.trial_numbers):
        specs = victims_of_trial(scenario, discovery.subpopulations, trial, at * per_trial)
        for lo in range(0, len(specs), size):
            stacks.append(StackPlan(len(stacks), trial, tuple(specs[lo : lo + size])))
    return tuple(stacks)


def _best_size(scenario: Scenario, discovery: Discovery, device: torch.device, most: int) -> int:
    """Time a few steps on the scenario's own rows: at doubling sizes where victims gain by company."""
    specs = victims_of_trial(scenario, discovery.subpopulations, scenario.evaluation.first_trial, 0)
    model, data = model_of(scenario.model, discovery.dataset), training(scenario, discovery)
    seed, on = scenario.seed, how(scenario.compute, str(device))
    data = data.to(device, on.dtype)

    def seconds(victims: int, steps: int = STEPS_TIMED) -> float:
        # of these alone: moved points are pictures of floats, gigabytes for all victims of a trial
        some = specs[:: max(1, len(specs) // victims)][:victims]
        few = [job(scenario, discovery, poison_of(scenario, discovery, spec)) for spec in some]
        return timed(lambda: fit(model, scenario.model, data, few, seed, 0, on, None, max_steps=steps), device)

    side_by_side = workers(scenario, device)
    if isinstance(model, TextHead):
        init = model.init(torch.Generator(), torch.float32)
        each = bytes_a_victim(model.layer, init, scenario.model.batch, torch.float32) * side_by_side
        sizes = (4, 8, 16, 32, 64, 128)
        parts = measured_size(lambda v: seconds(v, FEW_STEPS), each, free_bytes(device), -(-most // side_by_side), sizes)
        return min(most, parts * side_by_side)
    if isinstance(model, Whole) and device.type == "cpu":  # there a victim gains nothing by company
        steps = -(-len(discovery.dataset.train) // scenario.model.batch) * scenario.model.epochs
        victim_s = seconds(1, FEW_STEPS) / FEW_STEPS * steps
        return min(most, side_by_side * max(1, round(STACK_S / victim_s)))
    if isinstance(model, Whole):
        numbers = sum(p.numel() for p in model.init(torch.Generator(), torch.float32))
        row = 2048 * model.image[0] * model.image[1] if isinstance(model, models.Network) else 64 * model.length * model.width * 12
        return min(most, measured_size(lambda v: seconds(v, FEW_STEPS), 16 * numbers + scenario.model.batch * row,
                                       free_bytes(device), most, (1, 2, 4, 8, 16, 32, 64)))  # fmt: skip
    widest = max(model.sizes[:-1])
    # parameters, gradient and two moments; then activations, deltas and logits of a step's rows and of a slice of the test rows
    per_victim = 4 * (4 * widest * sum(model.sizes[1:]) + 8 * scenario.model.batch * widest)
    parts = measured_size(seconds, per_victim * side_by_side, free_bytes(device), -(-most // side_by_side))
    return min(most, parts * side_by_side)
