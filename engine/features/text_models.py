"""The encoder of texts that a scenario names, the network of it that reads tokens, and its tokenizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.datasets.files.places import data_dir as default_data_dir
from engine.features.kept import Report
from engine.features.tokenizer import TextTokenizer, bert_vocabulary, tokenizer_of
from engine.models.bert.bert import Bert
from engine.models.bert.files import BertSource
from engine.models.encoders import files as auto_files
from engine.models.encoders.encoder import AutoEncoder
from engine.models.encoders.files import EncoderSource
from engine.models.encoders.skeleton import skeleton_of
from engine.scenario.sections import BertSection

TextSource = BertSource | EncoderSource
TextNetwork = Bert | AutoEncoder  # what reads tokens


def source_of(section: BertSection) -> TextSource:
    """The encoder that a scenario names, with its rates of dropout where it sets them."""
    source = auto_files.find(section.weights, section.name, section.architecture, section.revision)
    if isinstance(source, EncoderSource):
        return replace(source, rates=auto_files.rates_of(section.attention_dropout, section.dropout))
    shape = source.shape
    if section.attention_dropout is not None:
        shape = replace(shape, attention_dropout=section.attention_dropout)
    if section.dropout is not None:
        shape = replace(shape, hidden_dropout=section.dropout, classifier_dropout=section.dropout)
    return replace(source, shape=shape)


def network_of(source: TextSource, section: BertSection, classes: int) -> TextNetwork:
    """The network that reads tokens at every step: a BERT trained whole, or any other encoder."""
    if isinstance(source, EncoderSource):
        return AutoEncoder(source, classes, section.length, section.tune)
    return Bert(source, classes, section.length)


def tokenizer_for(source: TextSource, data_dir: Path | None, report: Report) -> TextTokenizer:
    """The encoder's own tokenizer; bert-base-uncased's words where its weights are random."""
    if isinstance(source, EncoderSource):
        return tokenizer_of(source.folder, embeddings=skeleton_of(source, 2).vocabulary, around=1)
    words = source.shape.vocabulary
    where = source.folder or bert_vocabulary(default_data_dir(data_dir), report)
    return tokenizer_of(where, embeddings=words)
