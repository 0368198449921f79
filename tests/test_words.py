"""Clusters of texts are described by what sets them apart: the classes, then their own words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine import subpopulations
from engine.rows import Dataset, Rows
from engine.scenario.sections import ClusterMatchSection
from engine.subpopulations.describing import words
from engine.subpopulations.describing.words import describe_texts

TOPICS = ("zombie gore slasher", "opera tenor aria", "goal penalty referee")
COMMON = "The film was not what they said, and we saw it twice; didn't it's <br /><br /> good"


def texts(n: int = 240, seed: int = 0, topics: tuple[str, ...] = TOPICS) -> Dataset:
    """Texts of three topics in turn, each with two of its topic's three words; the first topic is mostly negative."""
    draw = np.random.default_rng(seed)

    def rows(first: int) -> Rows:
        topic = np.arange(n) % len(topics)
        y = np.where(topic == 0, draw.random(n) < 0.2, draw.random(n) < 0.55).astype(np.int64)
        made = np.empty(n, object)
        made[:] = [f"{COMMON} {' '.join(draw.permutation(topics[t].split())[:2])} {'word' * (i % 2)}" for i, t in enumerate(topic)]
        frame = pd.DataFrame({"words": [len(text.split()) for text in made]})
        return Rows(np.empty((n, 0), np.float32), y, np.arange(first, first + n), frame, texts=made)

    return Dataset("toy texts", ("negative", "positive"), (), rows(0), rows(n), rows(2 * n))


def test_each_cluster_is_told_by_its_own_words() -> None:
    data = texts()
    of_aux = np.arange(240) % 3
    found = describe_texts(data, of_aux, 3)
    for text, topic in zip(found, TOPICS, strict=True):
        assert set(text.split(": ")[1].split(", ")) == set(topic.split())
    negative = 1 - data.aux.y[of_aux == 0].mean()
    assert found[0].startswith(f"mostly negative ({100 * negative:.0f} %): ")
    assert "positive" not in found[0]  # of two classes the second goes without saying
    assert found == describe_texts(data, of_aux, 3)


def test_clusters_of_texts_are_described_so_when_they_are_formed() -> None:
    data = texts()

    def represent(rows: Rows) -> np.ndarray:
        assert rows.texts is not None
        return np.array([[sum(word in text for word in topic.split()) for topic in TOPICS] for text in rows.texts], np.float32)

    section = ClusterMatchSection(clusters=3, layer="hidden")
    membership, found, distance = subpopulations.assign(section, data, represent, 0)
    assert len(found) == 3
    assert distance is not None
    said = {frozenset(text.split(": ")[1].split(", ")) for text in found}
    assert said == {frozenset(topic.split()) for topic in TOPICS}
    assert (np.bincount(membership.test) == 80).all()


def test_pure_clusters_empty_ones_and_such_as_are_like_the_whole() -> None:
    data = texts()
    of_aux = np.where(data.aux.y == 0, 0, 2)  # nothing in 1; no topic sets 0 and 2 wholly apart
    found = describe_texts(data, of_aux, 3)
    assert found[0].startswith("negative")
    assert found[2].startswith("positive")
    alike = describe_texts(texts(topics=("goal penalty referee",)), np.arange(240) % 2, 2)
    assert all(text.endswith("much like the whole") or ": " in text for text in alike)
    assert len(set(alike)) == 2


def test_equal_descriptions_get_more_words_or_a_number() -> None:
    data = texts(topics=("zombie gore slasher", "zombie gore slasher", "opera tenor aria"))
    data.aux.y[:] = 0
    found = describe_texts(data, np.arange(240) % 3, 3)
    assert len(set(found)) == 3


@pytest.mark.parametrize("content", ["", "the and of", "123 456", "\u4f60\u597d", "<br />"])
def test_texts_without_a_word_to_tell(content: str) -> None:
    data = texts(30)
    assert data.aux.texts is not None
    data.aux.texts[:] = content
    found = describe_texts(data, np.arange(30) % 2, 2)
    assert all("much like the whole" in text for text in found)


def test_more_classes_are_named_as_of_pictures() -> None:
    data = texts()
    three = Dataset("toy", ("bad", "fair", "good"), (), data.train, data.aux, data.test)
    three.aux.y[:] = np.arange(240) % 8 % 3
    found = describe_texts(three, np.arange(240) % 3, 3)
    assert all(", " in text.split(": ")[0] for text in found)


def test_only_the_beginning_of_a_long_text_and_a_part_of_many_texts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = texts()
    assert data.aux.texts is not None
    data.aux.texts[0] = "zombie " + "unheard " * 1_000_000
    monkeypatch.setattr(words, "MOST_ROWS", 120)
    found = describe_texts(data, np.arange(240) % 3, 3)
    assert sum(set(text.split(": ")[1].split(", ")) == set(topic.split()) for text, topic in zip(found, TOPICS, strict=True)) == 3


def test_forms_of_one_word_are_said_once() -> None:
    assert words._same("zombie", "zombies")
    assert words._same("gored", "gore")
    assert words._same("boxes", "box")
    assert not words._same("good", "goodness")
