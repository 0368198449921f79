"""The folder of a text encoder, as transformers' save_pretrained writes it: config.json, and safetensors in one file or several.

Says what it holds without opening any weights, and without torch: what a scenario may start from is looked at before a run exists.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.errors import BadData, MissingData

CONFIG, WHOLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
OLD = ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack")
LARGEST_CONFIG = 10_000_000  # bytes


def settings_of(folder: Path) -> dict[str, Any]:
    """The folder's config.json. MissingData where there is no folder, or none in it; BadData where it is no JSON object."""
    if not folder.is_dir():
        raise MissingData("there is no such folder", where=str(folder), next=f"check model.weights: a folder with {CONFIG} and {WHOLE}")
    path = folder / CONFIG
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise BadData("is not a file", where=str(path), next="get the file anew")
    try:
        with path.open("rb") as file:
            settings = json.loads(file.read(LARGEST_CONFIG))
    except FileNotFoundError:
        raise MissingData(
            f"there is no {CONFIG}", where=str(folder), next="give a folder that transformers' save_pretrained wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadData(f"cannot be read ({error})", where=str(path), next="get the file anew") from error
    if not isinstance(settings, dict):
        raise BadData("holds no object", where=str(path), next="get the file anew")
    return settings


def weight_files(folder: Path) -> list[Path]:
    """The safetensors of a folder. BadData where there are none, whatever else lies there; MissingData: one of the index."""
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if (folder / INDEX).is_file():
        files = [folder / name for name in _names(folder / INDEX)]
        for file in files:
            if not file.is_file():
                raise MissingData("there is no such file of weights", where=str(file), next="get the folder anew")
        return files
    old = [name for name in OLD if (folder / name).exists()]
    raise BadData(
        f"holds no {WHOLE}" + (f", only {old[0]}, whose kind can run code when it is opened" if old else ""),
        where=str(folder),
        next="load the model with transformers and save_pretrained it there, which writes safetensors",
    )


def _names(index: Path) -> list[str]:
    """The files that an index spreads the tensors over."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        if not names or any(Path(name).name != name for name in names):
            raise ValueError("it names no files of its folder")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadData(f"cannot be read ({error})", where=str(index), next="get the file anew") from error
    return names
