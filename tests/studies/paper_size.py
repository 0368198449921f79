"""How much would one more run of the paper's size vary? The same scenario at the paper's three trials, over seeds.

    uv run python -m tests.studies.paper_size [--preset adult-clustermatch] [--seeds 8] [--trials 3] [--set KEY=VALUE ...]

A seed draws another split, another clustering, other poison and other initial weights. Prints worst-k as published for each seed, then
where the published value lies among them; and the same over those subpopulations alone that have at least so many test rows, for the
paper does not say how few it scored on.
"""

from __future__ import annotations

import argparse

import numpy as np

from tests.studies.common import discovered, records, tables_of, trained

LEAST_TEST_ROWS = (1, 10, 30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="adult-clustermatch")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    found: dict[tuple[int, float, int], list[float]] = {}
    published: dict[tuple[float, int], float | None] = {}
    for seed in range(options.seeds):
        given, discovery = discovered(options.preset, f"seed={seed}", f"evaluation.trials={options.trials}", *options.overrides)
        results = trained(given, discovery)
        y = discovery.dataset.test.y
        clean = np.mean([(r.predictions == y).mean() for r in results if r.spec.arm == "clean"])
        epochs = {arm: np.mean([r.epochs for r in results if r.spec.arm == arm]) for arm in ("clean", "poisoned")}
        tables = tables_of(given, discovery, results)
        published.update({(row["alpha"], row["k"]): row["published"] for row in records(tables["worst"])})
        damage = records(tables["damage"])
        for least in LEAST_TEST_ROWS:
            for alpha in given.attack.alphas:
                ranked = sorted((r["damage"] for r in damage if r["alpha"] == alpha and r["test_rows"] >= least), reverse=True)
                for k in (1, 5, 10):
                    found.setdefault((least, alpha, k), []).append(float(np.mean(ranked[:k])))
        line = " ".join(
            f"{alpha:g}/{k}: {found[LEAST_TEST_ROWS[0], alpha, k][-1]:.3f}" for alpha in given.attack.alphas for k in (1, 5, 10)
        )
        print(f"seed {seed}: clean {clean:.4f}, epochs {epochs['clean']:.0f} clean {epochs['poisoned']:.0f} poisoned, {line}", flush=True)
    print("test rows >=  alpha k     least  median    most  published")
    for (least, alpha, k), values in found.items():
        value = published.get((alpha, k))
        where = "" if value is None else ("below all" if value < min(values) else "above all" if value > max(values) else "within")
        shown = "–" if value is None else f"{value:.3f}"
        print(f"{least:12} {alpha:6g} {k:<3} {min(values):7.3f} {np.median(values):7.3f} {max(values):7.3f}  {shown} {where}")


if __name__ == "__main__":
    main()
