"""Every key of every preset with values that are wrong: one message in words and status 2, or a scenario; never an internal error."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main as cli
from engine.scenario.parse import schema
from engine.scenario.presets import presets

# Of every type that TOML has, in and out of range, nested, and text that is no TOML.
VALUES = (
    '"sixteen"', '"hub"', '"7"', '""', "[]", "[1, 2, -3]", "[1, [2]]", '["a", "a"]', "[nan]", "[9, 8, 7, 6, 5, 4, 3, 2, 1]",
    "nan", "-inf", "-1", "0", "1", "0.5", "1e999", "9" * 400, "true", "1979-05-27", "{ a = 1 }", "{ kind = 3 }", "[{ b = [{}] }]", "{}",
    '"\\u001b[31m"', "plain words", "[1,", "é", "=", "\\", "'", '{ kind = "adult" }', "[" * 40 + "]" * 40, '"' + "x" * 5000 + '"',
)  # fmt: skip
OTHERS = (
    "nonsense",
    "model.nonsense.more",
    "attack.alphas.deeper",
    "dataset.split.0",
    'subpopulations.bins."a b"',
    "smoke.smoke",
    "smoked",
)


def keys(node: Mapping[str, Any], whole: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Every section and key of the schema, dotted."""
    nested = [inner for option in node.get("anyOf", ()) for inner in option.get("oneOf", ())]
    for option in (node, *node.get("anyOf", ()), *node.get("oneOf", ()), *nested):
        if "$ref" in option:
            option = whole["$defs"][option["$ref"].rsplit("/", 1)[1]]
        for name, inner in option.get("properties", {}).items():
            yield at + name
            yield from keys(inner, whole, f"{at}{name}.")


KEYS = (*dict.fromkeys(keys(schema(), schema())), *OTHERS)


def judged(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    status = cli.main(["show", *words])
    out, err = capsys.readouterr()
    about = f"{words}: {status}\n{err}"
    assert status in (0, 2), about
    assert bool(out) == (status == 0), about
    # a preset turned to another system says so, and to another kind, what went with the old one
    assert (status == 2) == bool(err) or err.startswith("this is not what ") or "taken out of [" in err.splitlines()[0], about
    if status == 2:
        assert err.startswith("subpop: "), about
        assert not re.search(r"Traceback|pydantic|Input should|validation error|is a bug|<class", err), about


@pytest.fixture(autouse=True)
def place_of_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBPOP_STORE", str(tmp_path / "runs.db"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("quickstart", "--smoke", "--set", "attack.alphas=[1,2,-3]"),
            "attack.alphas: item 3 is -3; expected a number above 0 and at most 1000 (given on the command line)",
        ),
        (
            ("cifar10-vgg-ft", "--set", 'model.depth="sixteen"'),
            'model.depth: is "sixteen"; expected one of 11, 13, 16, 19 (given on the command line)',
        ),
    ],
)
def test_a_wrong_item_and_a_word_for_a_number_are_mistakes_in_words(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["show", *words]) == 2
    assert told in capsys.readouterr().err


def test_the_keys_are_all_there() -> None:
    assert {"title", "dataset.kind", "model.depth", "adversary.model.hidden", "subpopulations.bins", "attack.alphas", "smoke"} <= set(KEYS)
    assert len(KEYS) > 100
    assert "dataset.max_categories" in KEYS
    assert "adversary.model.attention_dropout" in KEYS


@pytest.mark.parametrize("preset", sorted(presets()))
def test_every_key_with_wrong_values(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each preset takes its share of the values for each key, so that over all presets every key meets every value, at both sizes."""
    names = sorted(presets())
    for at, key in enumerate(KEYS):
        first = names.index(preset) + at
        for value in VALUES[first % len(names) :: len(names)]:
            judged(capsys, preset, "--set", f"{key}={value}")
            judged(capsys, preset, "--smoke", "--set", f"{key}={value}")


@pytest.mark.parametrize("seed", range(4))
def test_many_wrong_values_at_once(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        sets = [f"{rng.choice(('', '', 'smoke.'))}{rng.choice(KEYS)}={rng.choice(VALUES)}" for _ in range(rng.randint(2, 5))]
        judged(capsys, rng.choice(sorted(presets())), *rng.choice(([], ["--smoke"])), *(word for each in sets for word in ("--set", each)))
