"""Scenarios: what is taken, what is refused, in which words and with which line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.errors import RequestError, ScenarioError, UnknownName
from engine.scenario.identity import digest, dump
from engine.scenario.parse import load, parse
from engine.scenario.sections import FeatureMatchSection, Scenario
from engine.scenario.toml import locate

SMALL = """\
title = "small"

[dataset]
kind = "digits"

[model]
kind = "mlp"
epochs = 5

[subpopulations]
kind = "cluster_match"
clusters = 8

[smoke]
model.epochs = 2
"""


def mistakes(text: str, **given: object) -> list[str]:
    """The mistakes of a scenario, as told."""
    with pytest.raises(ScenarioError) as caught:
        parse(text, **given)  # type: ignore[arg-type]
    return [str(mistake) for mistake in caught.value.mistakes]


def with_line(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


# ---- taken ----------------------------------------------------------------------------------------------------------


def test_defaults_are_filled_in() -> None:
    scenario = parse(SMALL)
    assert scenario.attack.alphas == (0.5, 1.0, 2.0)
    assert scenario.evaluation.min_test_rows == 8
    assert not scenario.smoked


def test_whole_numbers_are_taken_for_fractions() -> None:
    assert parse(SMALL + "[attack]\nalphas = [1, 2]\n").attack.alphas == (1.0, 2.0)


def test_smoke_is_applied_before_overrides_and_marks_the_scenario() -> None:
    assert parse(SMALL).model.epochs == 5
    small = parse(SMALL, smoke=True)
    assert (small.model.epochs, small.smoked, small.smoke) == (2, True, {})
    assert parse(SMALL, smoke=True, overrides=["model.epochs=9"]).model.epochs == 9
    assert parse(SMALL, smoke=True, overrides=["smoke.model.epochs=3"]).model.epochs == 3


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("model.epochs=7", lambda s: s.model.epochs == 7),
        ("attack.alphas=[0.25, 4]", lambda s: s.attack.alphas == (0.25, 4.0)),
        ("attack.target_label=least_likely", lambda s: s.attack.target_label == "least_likely"),
        ('attack.target_label="3"', lambda s: s.attack.target_label == "3"),
        ("attack.target_label=3", lambda s: s.attack.target_label == "3"),
        ("title=2024", lambda s: s.title == "2024"),
        ("title=true = false", lambda s: s.title == "true = false"),
        ("compute.victims_per_stack=auto", lambda s: s.compute.victims_per_stack == "auto"),
        ("subpopulations.pca=4", lambda s: s.subpopulations.pca == 4),
        ("subpopulations.clusters=", lambda s: s.subpopulations.clusters == 100),
        ("dataset.split=[0.5, 0.3, 0.2]", lambda s: s.dataset.split == (0.5, 0.3, 0.2)),
    ],
)
def test_overrides_take_toml_values_and_bare_words(override: str, read: object) -> None:
    assert read(parse(SMALL, overrides=[override]))  # type: ignore[operator]


def test_overrides_reach_into_quoted_keys() -> None:
    bins = 'subpopulations.bins."education-num"=[9, 12]'
    found = parse(SMALL, overrides=["subpopulations.kind=feature_match", 'subpopulations.features=["education-num"]', bins]).subpopulations
    assert isinstance(found, FeatureMatchSection)
    assert found.bins == {"education-num": (9.0, 12.0)}


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "bom.toml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert load(file).title == "small"


def test_a_relative_data_path_is_relative_to_its_file_and_to_the_shell_in_an_override(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(SMALL.replace('kind = "digits"', 'kind = "table"\npath = "rows.csv"\nlabel = "y"'))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load(file).dataset.path == tmp_path / "rows.csv"
    assert load(file, ["dataset.path=rows.csv"]).dataset.path == elsewhere / "rows.csv"


# ---- refused --------------------------------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    told = mistakes(
        'title = 3\n[dataset]\nkind = "adlt"\n[model]\nkind = "mlp"\nepocs = 5\nlr = nan\n'
        '[subpopulations]\nkind = "cluster_match"\nmin_size = 9\nmax_size = 4\n[attack]\nalphas = [\n  0.5,\n  -1,\n]\n'
    )
    assert told == [
        "line 1, title: is 3; expected text in quotes of at most 200 characters",
        'line 3, dataset.kind: is "adlt"; expected one of "adult", "digits", "breast_cancer", "table", "cifar10", "utkface", "imdb", '
        '"image_folder", "text_table"; did you mean "adult"?',
        "line 6, model.epocs: there is no such key in [model]; did you mean 'epochs'?",
        "line 7, model.lr: is nan; expected a finite number",
        "line 11, subpopulations.max_size: is 4, below min_size = 9; no subpopulation could have such a size",
        "line 15, attack.alphas: item 2 is -1; expected a number above 0 and at most 1000",
    ]


def test_an_empty_text_says_what_a_scenario_needs() -> None:
    assert mistakes("") == [
        "title: is missing; give text in quotes of at most 200 characters",
        "dataset: the section [dataset] is missing; it needs at least kind",
        "model: the section [model] is missing; it needs at least kind",
        "subpopulations: the section [subpopulations] is missing; it needs at least kind",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (with_line("epochs = 5", 'epochs = "5"'), 'line 8, model.epochs: is "5"; expected a whole number from 1 to 1000000'),
        (with_line("epochs = 5", "epochs = true"), "line 8, model.epochs: is true; expected a whole number from 1 to 1000000"),
        (with_line("epochs = 5", "epochs = 5.5"), "line 8, model.epochs: is 5.5; expected a whole number from 1 to 1000000"),
        (with_line("epochs = 5", "epochs = 1979-05-27"), "line 8, model.epochs: is the date or time 1979-05-27; expected a whole number"),
        (with_line("epochs = 5", "lr = inf"), "line 8, model.lr: is inf; expected a finite number"),
        (with_line("epochs = 5", "lr = 1e999"), "line 8, model.lr: is inf; expected a finite number"),
        (
            with_line("epochs = 5", "clusters = 5"),
            "line 8, model.clusters: there is no such key in [model]; it belongs in [subpopulations]",
        ),
        (with_line("epochs = 5", "hidden = [10, 0]"), "line 8, model.hidden: item 2 is 0; expected a whole number from 1 to 100000"),
        (
            with_line("epochs = 5", "hidden = []"),
            "line 8, model.hidden: is []; expected a list of one item or more in [ ], each item a whole",
        ),
        (with_line("clusters = 8", "clusters = 1"), "line 12, subpopulations.clusters: is 1; expected a whole number from 2 to 100000"),
        (with_line("clusters = 8", "select_count = 0"), "line 12, subpopulations.select_count: is 0; expected a whole number from 1"),
        (with_line("clusters = 8", "only = [3, 100]"), "line 12, subpopulations.only: names cluster 100; with clusters = 100"),
        (with_line("clusters = 8", "only = [3, 3]"), "line 12, subpopulations.only: names 3 twice"),
        (with_line("cluster_match", "feature_match"), 'line 10, subpopulations.features: is missing; kind "feature_match" needs'),
        (
            with_line('"digits"', '"table"'),
            'line 3, dataset.path: is missing; kind "table" needs a file of yours, CSV or Parquet: path =',
        ),
        (with_line('"digits"', '"digits"\nsplit = [0.5, 0.5, 0.5]'), "line 5, dataset.split: sums to 1.5"),
        (with_line('"digits"', '"digits"\nsplit = [0.5, 0.5]'), "line 5, dataset.split: is [0.5, 0.5]; expected a list of three"),
        (
            with_line('"digits"', '"digits"\nrows = 20\n[adversary]\nrows = 0.3'),
            "line 15, subpopulations.clusters: is 8, more than the 6 aux",
        ),
        (with_line('"digits"', '"digits"\nlabel = "x"'), 'line 5, dataset.label: has no meaning for kind "digits"'),
        (with_line('"digits"', '"adult"').replace('"mlp"', '"bert"'), 'line 7, model.kind: is "bert", which reads text'),
        (SMALL + "[attack]\nalphas = [2, 1]\n", "line 17, attack.alphas: must rise, each rate once"),
        (SMALL + "[attack]\nalphas = []\n", "line 17, attack.alphas: is empty; give at least one poison rate"),
        (SMALL + "[attack]\ntarget_label = 'flip'\n", 'line 17, attack.target_label: is "flip", which needs two classes'),
        (
            SMALL.replace("digits", "adult") + "[attack]\ntarget_label = 'flip'\ntarget_min_rows = 5\n",
            'attack.target_min_rows: has no meaning with target_label = "flip"',
        ),
        (SMALL + "[attack]\ntarget_label = 'rarst'\n", "did you mean 'rarest'?"),
        (SMALL + "[attack]\ntarget_label = ''\n", "line 17, attack.target_label: is empty; give one of rarest, least_likely, flip"),
        (SMALL + "[compute]\ndevice = 'gpu'\n", 'line 17, compute.device: is "gpu"; expected "auto"'),
        (SMALL + "[compute]\nvictims_per_stack = 'atuo'\n", 'is "atuo"; expected a whole number from 1 to 1000000 or "auto"'),
        (SMALL + "[modle]\nkind = 1\n", "line 16, modle: there is no such key at the top level; did you mean 'model'?"),
        (
            SMALL + "[adversary.model]\nkind = 'mlp'\nepcohs = 1\n",
            "line 18, adversary.model.epcohs: there is no such key in [adversary.model]",
        ),
        (with_line("[model]", "[dataset.model]"), "line 6, dataset.model: there is no such key in [dataset]; it belongs at the top level"),
        (SMALL.replace('"small"', '"a\\u0007b"'), "line 1, title: has the character U+0007 in it"),
    ],
)
def test_each_mistake_in_words(text: str, told: str) -> None:
    assert any(told in mistake for mistake in mistakes(text)), mistakes(text)


def test_bins_are_checked_against_the_features_and_must_rise() -> None:
    text = SMALL.replace(
        '"cluster_match"', '"feature_match"\nfeatures = ["age"]\nbins = { age = [45, 30],\n ag = [1] }'.replace("\n ag", " ag")
    )
    told = mistakes(text)
    assert any("line 13, subpopulations.bins.age: must rise" in m for m in told), told
    assert any("line 13, subpopulations.bins.ag: is not among the features; did you mean 'age'?" in m for m in told), told


def test_smoke_is_judged_even_when_it_is_not_applied() -> None:
    text = SMALL + "model.epohs = 1\nattack.alphas = [1, nan]\nsubpopulations.min_size = 50\nsubpopulations.max_size = 5\nsmoked = true\n"
    told = mistakes(text)
    assert [m.split(":")[0] for m in told] == [
        "line 16, smoke.model.epohs",
        "line 17, smoke.attack.alphas",
        "line 19, smoke.subpopulations.max_size",
        "line 20, smoke.smoked",
    ]


def test_smoke_that_breaks_a_key_outside_it_is_blamed() -> None:
    told = mistakes(SMALL.replace("model.epochs = 2", "subpopulations.min_size = 50").replace("clusters = 8", "max_size = 9"))
    assert told == ["line 14, smoke: leads to: subpopulations.max_size is 9, below min_size = 50; no subpopulation could have such a size"]


def test_smoke_asked_for_where_there_is_none() -> None:
    assert "has no [smoke] section" in mistakes(SMALL.split("[smoke]")[0], smoke=True)[0]


def test_mistaken_overrides_are_named_and_told_with_the_rest() -> None:
    told = mistakes(
        SMALL.replace('"digits"', '"digts"'), overrides=["model.epoch=3", "model.lr=fast", "=3", "xx", "model.bogus=", "a..b=1"]
    )
    assert told[0].startswith("line 4, dataset.kind")
    assert "model.epoch: there is no such key in [model]; did you mean 'epochs'? (given on the command line)" in told
    assert 'model.lr: is "fast"; expected a number above 0 and at most 1000 (given on the command line)' in told
    assert any(m.startswith('--set "xx": expected KEY=VALUE') for m in told)
    assert any(m.startswith('--set "=3": is not a dotted key') for m in told)
    assert any(m.startswith('--set "a..b=1": is not a dotted key') for m in told)
    assert any(m.startswith("model.bogus: there is no such key") for m in told)
    assert len(told) == 7


def test_overrides_that_nest_without_end() -> None:
    assert "is not a dotted key" in mistakes(SMALL, overrides=["a" + ".a" * 5000 + "=1"])[0]
    assert "expected a whole number" in mistakes(SMALL, overrides=["model.epochs=" + "[" * 5000])[0]
    assert "expected a whole number" in mistakes(SMALL, overrides=["model.epochs=" + "[" * 100 + "]" * 100])[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title = 'a\nb'", "line 1: is not TOML"),
        ("a = 1\na = 2", "line 2: is not TOML: cannot overwrite a value"),
        ("a = 1\nb = [1,\n", "line 3: is not TOML"),
        ("a = 1\nb = \x00", "line 2: is not TOML"),
        ("a = " + "[" * 5000, "is nested too deeply"),
        ("a" + ".a" * 5000 + " = 1", "is nested too deeply"),
        ("a = " + "9" * 5000, "has a number of too many digits"),
        ("a = 2024-02-31", "is not TOML"),
    ],
)
def test_text_that_is_not_toml(text: str, told: str) -> None:
    (only,) = mistakes(text)
    assert told in only


def test_files_that_cannot_be_scenarios(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'a = 1\ntitle = "caf\xe9"\n')
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * 1_000_001)
    rows = tmp_path / "loans.csv"
    rows.write_text("age,repaid\n30,yes\n")
    packed = tmp_path / "rows"  # no ending tells
    packed.write_bytes(b"PAR1....PAR1")
    for name, told in (
        (latin, "line 2: is not UTF-8 text"),
        (huge, "is larger than 1,000,000 bytes"),
        (tmp_path, "is a folder, not a scenario"),
        (rows, "is a table, not a scenario; `subpop init "),
        (packed, "is a table, not a scenario; `subpop init "),
        (tmp_path / "no.toml", "there is no such file"),
        (Path("/dev/null"), "is not a regular file"),
        ("x\0.toml", "is not a file name"),
    ):
        with pytest.raises(RequestError, match=re.escape(told)):
            load(name)
    with pytest.raises(UnknownName, match="did you mean 'quickstart'"):
        load("quikstart")
    with pytest.raises(UnknownName):
        load("a" * 5000)


def test_broken_unicode_from_a_command_line_is_refused() -> None:
    assert "U+DCFF" in mistakes(SMALL, overrides=["title=a\udcff"])[0]


# ---- written back and hashed ----------------------------------------------------------------------------------------

RICH = SMALL.replace('"cluster_match"\nclusters = 8', '"feature_match"\nfeatures = ["odd key", "age"]') + (
    '[attack]\ntarget_label = "say \\"hi\\" \\\\ é"\n[subpopulations.bins]\n"odd key" = [1, 2.5]\nage = [1e-7]\n'
    "[adversary.model]\nkind = 'logistic'\nlr = 1e20\n".replace("1e20", "12.5")
)


@pytest.mark.parametrize("text", [SMALL, RICH])
@pytest.mark.parametrize("smoke", [False, True])
def test_dump_and_parse_are_inverse(text: str, smoke: bool) -> None:
    scenario = parse(text, smoke=smoke)
    written = dump(scenario)
    assert parse(written) == scenario
    assert dump(parse(written)) == written


def test_digest_is_stable_under_order_and_differs_where_results_may() -> None:
    base = digest(parse(SMALL))
    assert re.fullmatch(r"[0-9a-f]{16}", base)
    head, *sections = re.split(r"\n(?=\[)", SMALL)
    assert digest(parse("\n".join([head, *reversed(sections)]))) == base
    assert digest(parse(dump(parse(SMALL)))) == base
    for same in ("title=other", "reproduces=Table 9", "compute.nice=3", "compute.threads=2", "smoke.model.epochs=4"):
        assert digest(parse(SMALL, overrides=[same])) == base, same
    changes = (
        "seed=1",
        "dataset.scale=standard",
        "dataset.split=[0.3, 0.3, 0.3]",
        "model.epochs=6",
        "model.hidden=[10, 10]",
        "subpopulations.clusters=9",
        "attack.alphas=[1]",
        "attack.per=train",
        "adversary.rows=0.5",
        "evaluation.trials=4",
        "evaluation.min_test_rows=31",
        "compute.precision=float64",
    )
    assert len({base, *(digest(parse(SMALL, overrides=[change])) for change in changes)}) == len(changes) + 1


def test_every_key_that_decides_results_is_in_the_digest() -> None:
    """A key added to the scenario is hashed unless it is named as deciding nothing."""
    scenario = parse(SMALL)
    moved = scenario.model_copy(update={"model": scenario.model.model_copy(update={"tol": 0.5})})
    assert digest(moved) != digest(scenario)
    assert isinstance(moved, Scenario)


# ---- where keys stand -----------------------------------------------------------------------------------------------


def test_locate_finds_keys_in_every_form_of_toml() -> None:
    text = (
        "a = 1 # [not.a.section]\n"  # 1
        "[b.c]\n"  # 2
        'd . "e f" = """x\n'  # 3
        "[no]\n"  # 4
        'y"""\n'  # 5
        "g = { h = [1,\n"  # 6
        "  2, # two\n"  # 7
        "  { i = 'x]#' }], j.k = '''\n"  # 8
        "'''}\n"  # 9
        "[[t]]\n"  # 10
        "u = 1\n"  # 11
        "[[t]]\n"  # 12
        "u = '\\'\n"  # 13
    )
    found = locate(text)
    expected = {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 2,
        ("b", "c", "d", "e f"): 3,
        ("b", "c", "g", "h", 0): 6,
        ("b", "c", "g", "h", 1): 7,
        ("b", "c", "g", "h", 2, "i"): 8,
        ("b", "c", "g", "j", "k"): 8,
        ("t", 0, "u"): 11,
        ("t", 1): 12,
        ("t", 1, "u"): 13,
    }
    assert {path: found.get(path) for path in expected} == expected
    assert ("no",) not in found


@pytest.mark.parametrize("text", ["[", "a", "a =", "a = [", '"', "a = '''x", "= 1", "[a", "a = {b", "[[", "\\", "a.=1"])
def test_locate_never_fails(text: str) -> None:
    assert all(line >= 1 for line in locate(text).values())


TEXTS = """
title = "texts"
dataset = {kind = "text_table", path = "/x.csv", text = "said", label = "mood"}
model = {kind = "bert"}
subpopulations = {kind = "cluster_match"}
"""


def test_texts_are_clustered_on_the_hidden_layer_unless_another_is_given() -> None:
    given = parse(TEXTS)
    assert given.subpopulations.layer == "hidden"
    assert 'layer = "hidden"' in dump(given)
    assert parse(dump(given)) == given
    assert parse(TEXTS, overrides=['subpopulations.layer="tokens"']).subpopulations.layer == "tokens"
    with pytest.raises(ScenarioError, match=r'subpopulations.layer: is "input", which kind "bert" does not have; use "hidden", "tokens"'):
        parse(TEXTS, overrides=['subpopulations.layer="input"'])
    with pytest.raises(ScenarioError) as wrong:  # and no such complaint beside another mistake
        parse(TEXTS + "seed = -1\n")
    assert "layer" not in str(wrong.value)
    small = parse(TEXTS + "[smoke]\nmodel.length = 16\n", smoke=True)
    assert small.subpopulations.layer == "hidden"
    matched = parse(TEXTS.replace('"cluster_match"', '"feature_match", features = ["a"]'))
    assert not hasattr(matched.subpopulations, "layer")
    assert parse(SMALL).subpopulations.layer == "input"


def test_what_is_set_for_a_smoke_run_need_not_make_sense_at_full_size() -> None:
    small = load("imdb-bert-ll", ["dataset.rows=80"], smoke=True)  # fewer rows than the preset's own clusters
    assert (small.dataset.rows, small.subpopulations.clusters, small.smoked) == (80, 5, True)
    with pytest.raises(ScenarioError, match="clusters"):
        load("imdb-bert-ll", ["dataset.rows=80"])
    with pytest.raises(ScenarioError, match=r"subpopulations\.clusters"):
        load("imdb-bert-ll", ["subpopulations.clusters=90", "dataset.rows=80"], smoke=True)


def test_what_is_set_at_full_size_need_not_make_sense_for_a_smoke_run() -> None:
    text = SMALL + "subpopulations.clusters = 5\n"
    assert parse(text, overrides=["subpopulations.only=[4]"]).smoke
    scenario = parse(text, overrides=["subpopulations.only=[7]"])
    assert scenario.subpopulations.only == (7,)
    assert parse(dump(scenario)) == scenario  # a run's worker reads it again
