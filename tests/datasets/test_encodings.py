"""The encoding of one's own text, as the scenario names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import datasets
from engine.errors import BadData, RequestError
from engine.scenario.parse import parse
from tests.worlds import sections
from tests.worlds.pictures import splits
from tests.worlds.tables import loaded, people

WORDS = {"cp1251": ("привет", "мир"), "shift_jis": ("日本", "東京"), "utf-16-le": ("été", "où"), "cp437": ("é", "ß"), "utf-8": ("é", "ß")}


@pytest.mark.parametrize("encoding", WORDS)
def test_a_table_and_texts_in_an_encoding_that_is_named(tmp_path: Path, encoding: str) -> None:
    one, other = WORDS[encoding]
    table = people().assign(job=[(one, other)[i % 2] for i in range(200)])
    dataset = loaded(tmp_path, table.to_csv(index=False).encode(encoding), encoding=encoding)
    assert set(dataset.train.frame["job"]) == {one, other}
    lines = "\n".join(json.dumps({"text": f"{one} {i}", "label": other if i % 2 else "no"}, ensure_ascii=False) for i in range(100))
    (tmp_path / "t.jsonl").write_bytes(lines.encode(encoding))
    section = sections.dataset(kind="text_table", path=tmp_path / "t.jsonl", text="text", label="label", encoding=encoding)
    texts = datasets.load(section, 0, tmp_path)
    assert texts.classes == tuple(sorted(("no", other)))
    assert f"{one} 7" in {text for rows in splits(texts) for text in rows.texts}


def test_what_is_no_encoding_or_has_none_is_refused(tmp_path: Path) -> None:
    for word in ("klingon", "base64"):
        with pytest.raises(RequestError, match=f"dataset.encoding: there is no encoding '{word}'"):
            loaded(tmp_path, people(), encoding=word)
    with pytest.raises(BadData, match="cannot be read as CSV"):
        loaded(tmp_path, people().assign(job="é").to_csv(index=False).encode("latin-1"), encoding="utf-8")
    people().to_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadData, match="a Parquet file needs no encoding"):
        loaded(tmp_path, (tmp_path / "t.parquet").read_bytes(), "p.parquet", encoding="utf-8")
    scenario = '[dataset]\nkind = "adult"\nencoding = "utf-8"\n[model]\nkind = "logistic"\n[subpopulations]\nkind = "cluster_match"\n'
    with pytest.raises(RequestError, match=r'dataset.encoding: has no meaning for kind "adult"'):
        parse(f'title = "t"\n{scenario}')
