"""The rows of each table, from counts. Cells are plain ints, floats, texts, bools or None."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan

from engine import tables_attributes, tables_distribution, tables_dose, tables_optimization
from engine.evaluation import confidence, vulnerable, worst
from engine.evaluation.damage import Collateral, collateral_of, ratio
from engine.evaluation.prediction import NONE, Interval, of_half, of_mean
from engine.rows import Table
from engine.tables import KS, SPECS, World
from engine.tables_cells import Row, cell, line, mean, reading
from engine.tables_work import Work


def build(world: World, names: Sequence[str]) -> Mapping[str, Table]:
    """See `engine.tables.build`."""
    work = Work(world)
    return {name: Table(SPECS[name], tuple(BUILDERS[name](work))) for name in names}


def _subpopulations(work: Work) -> list[Row]:
    clean_TS, n_S = work.layout.clean_TS, work.layout.n_S
    clean_S = ratio(clean_TS.sum(axis=0), len(clean_TS) * n_S)
    return [
        line(
            "subpopulations",
            subpopulation=s.index,
            description=s.description,
            train_rows=s.train_rows,
            aux_rows=s.aux_rows,
            test_rows=s.test_rows,
            class_mix=", ".join(f"{name} {share:.2f}" for name, share in s.class_mix.items()),
            confidence=s.confidence,
            confidence_in_sample=s.confidence_in_sample,
            adversary_accuracy=s.clean_accuracy,
            clean_accuracy=cell(clean_S[s.index]),
            target_label=s.target_label,
            attacked=s.attacked,
            reason=s.reason,
        )
        for s in work.world.subpopulations
    ]


def _victims(work: Work) -> list[Row]:
    counts, rows = work.world.counts, []
    n_S, n_all = counts.total_SF.sum(axis=1).tolist(), len(counts.y_R)
    for v in counts.in_order():
        s, everywhere = v.spec.subpopulation, int(v.right_S.sum())
        right, total = (None, None) if s is None else (int(v.right_S[s]), n_S[s])
        rows.append(
            line(
                "victims",
                victim=v.spec.index,
                trial=v.spec.trial,
                arm=v.spec.arm,
                subpopulation=s,
                alpha=v.spec.alpha,
                target_right=right,
                target_total=total,
                rest_right=everywhere - (right or 0),
                rest_total=n_all - (total or 0),
                poison_points=v.poison_points,
                already_target=v.already_target,
                epochs=v.epochs,
                train_loss=cell(v.train_loss),
            )
        )
    return rows


def _damage(work: Work) -> list[Row]:
    d, off, true, train_rows = work.damages, work.off_target, work.true_label, work.world.train_rows
    rows = []
    for a, alpha in enumerate(work.world.facts.alphas):
        for s in work.attacked:
            at = (a, s.index)
            points, labelled = cell(d.points_AS[at]), work.labels[s.index] is not None
            value, told = reading(None if work.published is None else work.published.single.get((s.description, alpha)))
            rows.append(
                line(
                    "damage",
                    subpopulation=s.index,
                    description=s.description,
                    alpha=alpha,
                    damage=cell(d.damage_AS[at]),
                    low=cell(d.low_AS[at]),
                    high=cell(d.high_AS[at]),
                    trials=int(d.trials_AS[at]),
                    vulnerable=None if isnan(d.q_AS[at]) else bool(d.q_AS[at] <= vulnerable.Q),
                    p=cell(d.p_AS[at]),
                    q=cell(d.q_AS[at]),
                    p_from=None if isnan(d.p_AS[at]) else "off_target" if d.others_AS[at] else "t",
                    off_target_victims=None if isnan(d.p_AS[at]) else int(d.others_AS[at]),
                    clean_accuracy=cell(d.clean_AS[at]),
                    poisoned_accuracy=cell(d.poisoned_AS[at]),
                    collateral=cell(d.collateral_AS[at]),
                    off_target=cell(off[at]) if "off_target" in work.world.facts.controls else None,
                    true_label=None if true is None else cell(true[at]),
                    target_given=cell(d.label_AS[at]) if labelled else None,
                    target_given_clean=cell(d.clean_label_AS[at]) if labelled else None,
                    poison_points=points,
                    poison_share=None if points is None or not train_rows else points / train_rows,
                    already_target=cell(d.already_AS[at]),
                    aux_rows=s.aux_rows,
                    test_rows=s.test_rows,
                    published=value,
                    published_as=told,
                    **_one_more(work, at, value),
                )
            )
    return rows


def _one_more(work: Work, at: tuple[int, int], published: float | None) -> dict[str, object]:
    """What the paper's trials would show of one subpopulation's damage; worked out where they did."""
    if published is None:
        return predicted(NONE, None)
    d = work.damages
    low, centre, high = float(d.low_AS[at]), float(d.damage_AS[at]), float(d.high_AS[at])
    return predicted(of_half(centre, max(centre - low, high - centre), int(d.trials_AS[at]), work.others), published)


def predicted(interval: Interval, published: float | None) -> dict[str, object]:
    """The cells of an interval that a published value is held against."""
    return {"predicted_low": interval.low, "predicted_high": interval.high, "outside": interval.outside(published)}


def _worst(work: Work) -> list[Row]:
    d, rows, aux_rows = work.damages, [], {s.index: s.aux_rows for s in work.world.subpopulations}
    published = work.published
    for a, alpha in enumerate(work.world.facts.alphas):
        found = worst.worst_of(work.layout, a, d.damage_AS[a], work.published_sizes, work.enough_test_rows, KS)
        for k, w in zip(KS, found, strict=True):
            value, told = reading(None if published is None else published.worst.get((alpha, k)))
            size, _ = reading(None if published is None else published.size.get(k))
            rows.append(
                line(
                    "worst",
                    alpha=alpha,
                    k=k,
                    as_published=w.published,
                    as_published_k=len(w.published_picks),
                    corrected=w.corrected,
                    low=w.low,
                    high=w.high,
                    k_used=w.k_used,
                    eligible=w.eligible,
                    trials=w.trials,
                    clean_accuracy=mean([float(d.clean_AS[a, s]) for s in w.published_picks]),
                    size=mean([aux_rows[s] for s in w.published_picks]),
                    published=value,
                    published_as=told,
                    published_size=size,
                    chosen=_list(w.published_picks),
                    chosen_corrected=_list(w.picks),
                    note=w.note,
                    **predicted(work.replications[a].worst(k), value),
                )
            )
    return rows


def _collateral(work: Work) -> list[Row]:
    d, rows = work.damages, []
    for a, alpha in enumerate(work.world.facts.alphas):
        order = worst.worst_first(d.damage_AS[a], work.published_sizes)
        everyone = worst.worst_first(d.damage_AS[a], work.mask(lambda _: True))
        groups: list[tuple[str, int | None, Sequence[int]]] = [(f"worst {k}", k, order[:k]) for k in KS]
        for name, k, picks in [*groups, ("all", None, everyone)]:
            interval = collateral_of(work.layout, a, picks)
            value, told = reading(None if work.published is None or k is None else work.published.collateral.get((alpha, k)))
            each = [float(d.collateral_AS[a, s]) for s in picks if not isnan(d.collateral_AS[a, s])]
            rows.append(
                line(
                    "collateral",
                    alpha=alpha,
                    group=name,
                    subpopulations=len(picks),
                    collateral=mean(each),
                    low=interval.low,
                    high=interval.high,
                    largest=max(each, default=None),
                    damage=mean([float(d.damage_AS[a, s]) for s in picks]),
                    trials=interval.trials,
                    published=value,
                    published_as=told,
                    **predicted(_other_groups(interval, each, work.others), value),
                )
            )
    return rows


def _other_groups(interval: Collateral, each: Sequence[float], others: int) -> Interval:
    """What as large a group of other subpopulations would show of their collateral, over so many trials."""
    centre = mean(each)
    if centre is None or interval.high is None or interval.low is None:
        return NONE
    spread = of_mean(each, len(each))
    apart = 0.0 if spread.low is None else (centre - spread.low) / 2**0.5  # that of one mean, not of the difference of two
    trials = of_half(centre, (interval.high - interval.low) / 2, interval.trials, others)
    assert trials.low is not None
    reach = ((centre - trials.low) ** 2 + apart**2) ** 0.5
    return Interval.around(centre, reach)


def _confidence(work: Work) -> list[Row]:
    d, rows, published = work.damages, [], work.published
    for a, alpha in enumerate(work.world.facts.alphas):
        for group in confidence.groups(work.attacked):
            known = [s for s in group.members if not isnan(d.damage_AS[a, s.index])]
            values = [float(d.damage_AS[a, s.index]) for s in known]
            value, told = reading(None if published is None else published.confidence.get(group.name))
            rank, _ = reading(None if published is None or group.name != "all" else published.spearman.get(alpha))
            rho = confidence.spearman([s.confidence for s in known], values)
            pairs = sum(s.confidence is not None for s in known)
            told_rho, others = confidence.spearman_interval(rho, pairs), confidence.spearman_interval(rho, pairs, pairs)
            rows.append(
                line(
                    "confidence",
                    alpha=alpha,
                    group=group.name,
                    subpopulations=len(known),
                    confidence=mean([s.confidence for s in known if s.confidence is not None]),
                    confidence_in_sample=mean([s.confidence_in_sample for s in known if s.confidence_in_sample is not None]),
                    damage=mean(values),
                    spearman=rho,
                    published=value,
                    published_as=told,
                    published_spearman=rank,
                    spearman_low=told_rho.low,
                    spearman_high=told_rho.high,
                    **predicted(of_mean(values, confidence.GROUP), value),
                    spearman_outside=others.outside(rank),
                )
            )
    return rows


def _list(indices: Sequence[int]) -> str:
    return " ".join(map(str, indices))


BUILDERS: dict[str, Callable[[Work], list[Row]]] = {
    "subpopulations": _subpopulations,
    "victims": _victims,
    "damage": _damage,
    "worst": _worst,
    "collateral": _collateral,
    "confidence": _confidence,
    "distribution": tables_distribution.rows,
    "dose": tables_dose.rows,
    "attributes": tables_attributes.rows,
    "optimization": tables_optimization.rows,
}
