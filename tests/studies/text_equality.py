"""Do victims of a text encoder's last layer predict the same whatever their company? One plan, two stack sizes, real reviews.

    uv run python -m tests.studies.text_equality [--weights FOLDER] [--rows 300] [--length 64] [--epochs 2] [--victims 10] [--sizes 1 10]

Trains the first victims of a trial of imdb-minilm-ll in stacks of each size and prints the share of test rows that both predict the same,
over victims. `--weights` is a folder with a pretrained MiniLM (model.safetensors, config.json, its tokenizer); random where left out.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from engine.pipeline import order as pipeline
from engine.pipeline.discovery import Discovery
from engine.rows import StackPlan
from engine.scenario.sections import Scenario
from tests.studies.common import discovered


def predictions(given: Scenario, found: Discovery, victims: int, size: int) -> tuple[np.ndarray, float]:
    """uint8 [victims, test rows] of the first victims of trial 0, in stacks of `size`, and the seconds that they took."""
    specs = pipeline.victims_of_trial(given, found.subpopulations, 0, 0)[:victims]
    began = time.perf_counter()
    stacks = [StackPlan(at, 0, tuple(specs[lo : lo + size])) for at, lo in enumerate(range(0, len(specs), size))]
    results = [result for stack in stacks for result in pipeline.train_stack(pipeline.StackJob(given, found, stack, "cpu"))]
    return np.stack([result.predictions for result in results]), time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="random")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--victims", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs=2, default=(1, 10), metavar=("ONE", "OTHER"))
    options = parser.parse_args()
    random = ['model.architecture="minilm"'] if options.weights == "random" else []
    given, found = discovered(
        "imdb-minilm-ll", f'model.weights="{options.weights}"', *random, f"model.length={options.length}", f"model.epochs={options.epochs}",
        f"model.lr={options.lr}", f"dataset.rows={options.rows}", "subpopulations.clusters=4", 'subpopulations.select="all"',
        "evaluation.confidence_folds=1", "evaluation.min_test_rows=5",
    )  # fmt: skip
    sized = {size: predictions(given, found, options.victims, size) for size in options.sizes}
    (one, one_s), (other, other_s) = (sized[size] for size in options.sizes)
    equal = (one == other).mean(axis=1)
    right = (one == found.dataset.test.y).mean(axis=1)
    print(f"{len(one)} victims x {one.shape[1]} test reviews, weights: {options.weights}")
    print(f"accuracy: clean {right[0]:.3f}, lowest {right.min():.3f}")
    print(f"in stacks of {options.sizes[0]}: {one_s:.1f} s; of {options.sizes[1]}: {other_s:.1f} s")
    print(f"share of equal test predictions: mean {equal.mean():.5f}, lowest {equal.min():.5f}; {(one != other).sum()} differ")


if __name__ == "__main__":
    main()
