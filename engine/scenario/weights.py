"""Where weights lie, and whether they are here, without reading them. Imports nothing heavy."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMIT = re.compile("[0-9a-f]{40}")
RANDOM, IMAGENET, HUB = "random", "imagenet", "hub"
ENDINGS = (".pt", ".pth", ".safetensors")
URL = "https://download.pytorch.org/models/"
BERTS = ("bert-base", "minilm", "bert-mini", "bert-tiny")  # sizes of a BERT with random weights; the first where none is named
VGG = {11: "vgg11-8a719046.pth", 13: "vgg13-19584684.pth", 16: "vgg16-397923af.pth", 19: "vgg19-dcbb9e9d.pth"}  # by depth


@dataclass(frozen=True)
class WeightsState:
    """present: all that is needed is in place, as far as names tell. detail: one line for a person, where it is or what is missing."""

    present: bool
    detail: str


def is_file(weights: str, folder: Path) -> bool:
    """Whether a scenario's model.weights names a file, and not one of the words or, in what reads text, a published model."""
    if not weights or weights in (RANDOM, IMAGENET, HUB):
        return False
    try:
        return Path(weights).suffix.lower() in ENDINGS or (folder / Path(weights).expanduser()).exists()
    except (OSError, ValueError):  # longer than a name may be
        return False


def checkpoint_dir() -> Path:
    """torch hub's folder of checkpoints, as torch finds it: in $TORCH_HOME, else $XDG_CACHE_HOME/torch, else ~/.cache/torch."""
    cache = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(cache).expanduser() / "hub" / "checkpoints"


def hub_dir() -> Path:
    """The Hugging Face hub's folder of models, as its client finds it."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(home).expanduser() / "hub"


def state(model: Mapping[str, Any], *, folder: Path | None = None) -> WeightsState:
    """Whether a model's weights are on this machine.

    model: the keys of a scenario's section, as TOML or as pydantic dumps it. folder: where a relative file or folder is looked for; None:
    where one stands.
    """
    kind, weights, name = str(model.get("kind", "")), str(model.get("weights", RANDOM)), model.get("name")
    if weights == RANDOM:
        return WeightsState(True, "random weights are drawn, never fetched")
    if weights == HUB:
        cache = hub_dir() / f"models--{(name or '').replace('/', '--')}"
        revision = str(model.get("revision") or "")
        pinned = revision if COMMIT.fullmatch(revision) else "*"
        whole = any(cache.glob(f"snapshots/{pinned}/*.safetensors")) if name else False
        return WeightsState(True, f"at {cache}") if whole else WeightsState(False, f"{name} is missing (in {hub_dir()})")
    if kind == "bert":
        place = (folder or Path()) / Path(weights).expanduser()
        return WeightsState(True, f"at {place}") if place.is_dir() else WeightsState(False, f"there is no folder {place}")
    if weights != IMAGENET:
        file = (folder or Path()) / Path(weights).expanduser()
        return WeightsState(True, f"at {file}") if file.is_file() else WeightsState(False, f"there is no file {file}")
    if kind == "vgg":
        file = checkpoint_dir() / VGG[model.get("depth", 16)]
        return WeightsState(True, f"at {file}") if file.is_file() else WeightsState(False, f"{file.name} is missing (in {file.parent})")
    architecture = model.get("architecture")
    checkpoints = _checkpoints(architecture or "")
    return (
        WeightsState(True, f"at {checkpoints[0]}")
        if checkpoints
        else WeightsState(False, f"{architecture} is missing (in {checkpoint_dir()})")
    )


def _checkpoints(architecture: str) -> list[Path]:
    """Files that may be torchvision's of an architecture: `resnet50-11ad3fa6.pth`, `efficientnet_b0_rwightman-7f5810bc.pth`."""
    pattern = re.compile(rf"{re.escape(architecture)}(_(?!bn)[a-z0-9_]+)?-[0-9a-f]{{8}}\.pth", re.IGNORECASE)
    try:
        return sorted(file for file in checkpoint_dir().iterdir() if pattern.fullmatch(file.name))
    except OSError:
        return []
