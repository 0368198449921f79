"""What sets a cluster of texts apart, in its own words: "mostly negative (88 %): zombie, gore, slasher".

The words are those of the highest class-based TF-IDF (Grootendorst, 2022; arXiv 2203.05794), a cluster being the class: the share of its
texts that have the word, times log(1 + A / f), f in how many texts the word is, A how many words a cluster has on average. A word counts
once a text, so that no single text speaks for its cluster; only where it is clearly commoner in the cluster than in the others; and the
more so, by the logarithm of that ratio: else what everybody says most ("good", "film") would be said of every other cluster.
"""

from __future__ import annotations

import re

import numpy as np
from scipy import sparse

from engine.rows import Dataset
from engine.seeds import generator
from engine.subpopulations.describing import levels
from engine.subpopulations.describing.describe import Trait, class_mix, numbered

SAID, MOST = 3, 6  # words of a description, and of one that would else be another's
READ = 5_000  # characters of a text: encoders read about as many
MOST_ROWS = 30_000  # beyond so many rows the first of a random order are looked at
MOST_WORDS = 50_000
LEAST_TEXTS = 3  # in fewer a word is chance, where the texts are not few altogether
LIFT = 1.5  # least ratio of a word's share in the cluster to its share in the others
LEAST_SHARE = 0.04  # of the cluster's texts
PRIOR = 2.0  # texts by which a cluster is drawn towards the others: what two texts happen to share sets nothing apart
ASIDE = re.compile(r"<[^<>]{0,100}>|\b\w+n['’]t\b|['’]\w{1,2}\b")  # and what contractions leave: didn't, it's, they'll
WORD = r"(?u)\b[^\W\d_][^\W\d_]{2,29}\b"


def describe_texts(dataset: Dataset, of_aux: np.ndarray, clusters: int) -> tuple[str, ...]:
    """One description for each cluster; of_aux int [aux rows] is each row's cluster. No two are equal.

    The classes come first, as of pictures; then the words.
    """
    classes = Trait("class", names=dataset.classes, codes=dataset.aux.y.astype(np.int64))
    mixes = [_mix(classes, np.flatnonzero(of_aux == cluster)) for cluster in range(clusters)]
    words = words_of(dataset, of_aux, clusters)

    def description(cluster: int, count: int) -> str:
        return f"{mixes[cluster]}: {', '.join(words[cluster][:count])}" if words[cluster] else f"{mixes[cluster]}, much like the whole"

    descriptions = [description(cluster, SAID) for cluster in range(clusters)]
    for count in range(SAID + 1, MOST + 1):
        descriptions = [description(cluster, count) if descriptions.count(text) > 1 else text for cluster, text in enumerate(descriptions)]
    return numbered(descriptions)


def _mix(classes: Trait, ours: np.ndarray) -> str:
    """The classes in words; of two the second goes without saying."""
    words, named = class_mix(classes, ours)
    if len(classes.names) == len(named) == 2:
        return words.removesuffix(f", {levels.phrase(classes.name, classes.names[named[1]])}")
    return words


def words_of(dataset: Dataset, of_aux: np.ndarray, clusters: int) -> list[list[str]]:
    """The words that set each cluster apart, at most MOST, the strongest first."""
    texts = dataset.aux.texts
    assert texts is not None
    rows = np.arange(len(texts))
    if len(rows) > MOST_ROWS:
        rows = np.sort(generator(0, "words").permutation(len(texts))[:MOST_ROWS])
    vocabulary, has_RW = presence([texts[row] for row in rows])
    if not len(vocabulary):
        return [[] for _ in range(clusters)]
    of_row = of_aux[rows]
    member_CR = sparse.csr_matrix((np.ones(len(rows)), (of_row, np.arange(len(rows)))), shape=(clusters, len(rows)))
    count_CW = member_CR @ has_RW  # texts of each cluster with each word
    size_C = np.bincount(of_row, minlength=clusters)
    total_W = np.asarray(count_CW.sum(axis=0)).ravel()
    idf_W = np.log1p(total_W.sum() / clusters / total_W)
    return [
        _strongest(vocabulary, count_CW[cluster].toarray().ravel(), total_W, idf_W, size_C[cluster], len(rows))
        for cluster in range(clusters)
    ]


def presence(texts: list[str]) -> tuple[np.ndarray, sparse.csr_matrix]:
    """The words that occur in enough texts, object [words], and which text has which: 0 or 1, [texts, words]. Stop words are left out."""
    from sklearn.feature_extraction.text import CountVectorizer

    least = LEAST_TEXTS if len(texts) >= 100 else 1
    counter = CountVectorizer(
        preprocessor=_plain, token_pattern=WORD, stop_words="english", binary=True, min_df=least, max_features=MOST_WORDS, dtype=np.float64
    )
    try:
        has_RW = counter.fit_transform(texts)
    except ValueError:  # no word at all, or none in enough texts
        return np.empty(0, object), sparse.csr_matrix((len(texts), 0))
    return counter.get_feature_names_out(), has_RW


def _plain(text: str) -> str:
    return ASIDE.sub(" ", text[:READ]).lower()


def _strongest(vocabulary: np.ndarray, count_W: np.ndarray, total_W: np.ndarray, idf_W: np.ndarray, size: int, rows: int) -> list[str]:
    """One cluster's words. count_W, total_W: in how many of its `size` texts, and of all `rows`, each word is."""
    if not size:
        return []
    elsewhere_W = (total_W - count_W + 0.5) / (rows - size + 1)
    here_W = (count_W + PRIOR * elsewhere_W) / (size + PRIOR)
    least = max(LEAST_SHARE * size, 2 if size > 3 else 1)
    score_W = np.where((count_W >= least) & (here_W >= LIFT * elsewhere_W), here_W * idf_W * np.log(here_W / elsewhere_W), 0.0)
    chosen: list[str] = []
    for place in np.argsort(-score_W, kind="stable")[: 4 * MOST]:
        word = str(vocabulary[place])
        if score_W[place] <= 0 or len(chosen) == MOST:
            break
        if not any(_same(word, other) for other in chosen):
            chosen.append(word)
    return chosen


def _same(one: str, other: str) -> bool:
    """Whether two words are one in two forms: zombie, zombies; killer, killers, killer's."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and long[len(short) :] in ("s", "es", "d", "ed")
