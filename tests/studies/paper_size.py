"""How much would one more run of the paper's size vary? The same scenario at the paper's three trials, over seeds.

    uv run python -m tests.studies.paper_size [--preset adult-clustermatch] [--seeds 8] [--trials 3] [--set KEY=VALUE ...]

A seed draws another split, another clustering, other poison and other initial weights. Prints worst-k as published for each seed, then
where the published value lies among them.
"""

from __future__ import annotations

import argparse

import numpy as np

from tests.studies.common import discovered, records, tables_of, trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="adult-clustermatch")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    found: dict[tuple[float, int], list[float]] = {}
    published: dict[tuple[float, int], float | None] = {}
    for seed in range(options.seeds):
        given, discovery = discovered(options.preset, f"seed={seed}", f"evaluation.trials={options.trials}", *options.overrides)
        results = trained(given, discovery)
        y = discovery.dataset.test.y
        clean = np.mean([(r.predictions == y).mean() for r in results if r.spec.arm == "clean"])
        epochs = np.mean([r.epochs for r in results])
        worst = records(tables_of(given, discovery, results)["worst"])
        for row in worst:
            found.setdefault((row["alpha"], row["k"]), []).append(row["as_published"])
            published[row["alpha"], row["k"]] = row["published"]
        line = " ".join(f"{row['alpha']:g}/{row['k']}: {row['as_published']:.3f}" for row in worst)
        print(f"seed {seed}: clean {clean:.4f}, {epochs:.0f} epochs, {line}", flush=True)
    print("alpha k     least  median    most  published")
    for (alpha, k), values in found.items():
        value = published[alpha, k]
        where = "" if value is None else ("below all" if value < min(values) else "above all" if value > max(values) else "within")
        shown = "–" if value is None else f"{value:.3f}"
        print(f"{alpha:5g} {k:<3} {min(values):7.3f} {np.median(values):7.3f} {max(values):7.3f}  {shown} {where}")


if __name__ == "__main__":
    main()
