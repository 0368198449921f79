"""The draft of a folder of pictures: its folders are the classes, or splits that have class folders in them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from engine.datasets.files.archives import readable
from engine.datasets.image_folder import split_folders
from engine.datasets.wording import counted, listed
from engine.drafting.looks import Draft, Pictures
from engine.drafting.matching import clusters_for
from engine.drafting.sizes import SPLIT
from engine.drafting.sniffing import PICTURES
from engine.drafting.words import DraftSection, Key, document
from engine.errors import BadData

MOST_CLASSES = 256
DEEPEST = 8  # folders in folders that are looked into for the classes
SAMPLE = 60  # pictures of which the size is looked at
SIDE = 32  # pixels: a victim takes four times as long at 64
ROWS = 2_000  # of a split that a draft uses


def draft(place: Path, shown: str, title: str, name: str) -> Draft:
    """See `draft.draft`."""
    homes, notes = split_folders(place)
    count: Counter[str] = Counter()
    sample: list[Path] = []
    for home in homes or ("",):
        for entry in sorted(os.scandir(place / home), key=lambda each: each.name):
            if entry.is_dir() and not entry.name.startswith("."):
                files = _pictures(Path(entry.path))
                count[readable(entry.name)] += len(files)
                sample += files[:: max(1, len(files) // 5)][:5]
    classes = {name: rows for name, rows in sorted(count.items()) if rows}
    if not 2 <= len(classes) <= MOST_CLASSES:
        have = f"pictures of one class only ({next(iter(classes))!r})" if len(classes) == 1 else f"{len(classes)} folders with pictures"
        below = None if homes else _classes_below(place)
        inside = f"; those in {Path(shown) / below} may be the classes: give that folder" if below else ""
        raise BadData(f"has {have}", where=shown, next=f"it needs 2 to {MOST_CLASSES} folders, one a class, with pictures in each{inside}")
    total = sum(classes.values())
    train = int(total * SPLIT[0])
    rows = ROWS if train > ROWS else None
    used = min(train, ROWS)
    sizes = _sizes(sample)
    keys = [Key("kind", "image_folder"), Key("path", shown)]
    keys.append(Key("split", list(SPLIT), "of train into train and aux" if homes else "train, aux (the adversary's) and test"))
    keys.append(Key("image_size", SIDE, f"a side in pixels; the pictures are {sizes}. 64 sees more, and takes four times as long"))
    keys += [Key("rows", rows, "of train, of aux and of test at most; take it out for all, which takes longer")] if rows else []
    keys.append(Key("annotations_file", "birds.csv", "a CSV with a column `file`: every other column can be matched on", off=True))
    sections = [
        DraftSection("dataset", keys),
        DraftSection(
            "model",
            [
                Key("kind", "conv", 'small, from scratch; better: "torchvision", architecture = "resnet18", weights = "imagenet"'),
                Key("epochs", 6),
                Key("batch", 16 if used < 500 else 32),
            ],
        ),
        DraftSection(
            "subpopulations",
            [
                Key("kind", "cluster_match", "groups found in the pictures"),
                Key("clusters", min(10, clusters_for(used))),
                Key("layer", "hidden", "what the model makes of a picture"),
                Key("pca", min(20, max(2, used // 10))),
                Key("min_size", 5, "auxiliary pictures; smaller ones are not attacked"),
            ],
        ),
        DraftSection(
            "attack",
            [
                Key("kind", "label_flip"),
                Key("alphas", [1, 2], "poison points for each auxiliary picture of the subpopulation"),
                Key("target_label", "rarest", "the class rarest in the subpopulation"),
            ],
        ),
        DraftSection("evaluation", [Key("trials", 3, "3 or more for intervals")]),
        DraftSection(
            "smoke",
            [
                *([Key("dataset/rows", 120)] if used > 120 else []),
                Key("model/epochs", 2), Key("subpopulations/clusters", 2), Key("subpopulations/pca", 2), Key("subpopulations/min_size", 1),
                Key("attack/alphas", [1]), Key("evaluation/trials", 2), Key("evaluation/confidence_folds", 2),
            ],
        ),
    ]  # fmt: skip
    listing = listed([f"{each} {n:,}" for each, n in classes.items()])
    head = [f"{counted(total, 'picture')} of {len(classes)} classes in {Path(shown).name}: {listing}",
            "Made from the folder alone. Look first: subpop discover THIS; the whole way on a sliver: subpop run THIS --smoke"]  # fmt: skip
    why = f"the {len(classes)} folders are the classes" if not homes else f"the folders in {listed(list(homes))} are the classes"
    seen = Pictures(tuple(classes.items()), sizes, tuple(homes))
    return Draft(shown, "image_folder", title, name, document(head, title, sections), None, why, notes=tuple(notes), pictures=seen)


def _classes_below(place: Path) -> Path | None:
    """The folder, seen from the place, that has several folders with pictures where all above it hold one folder each, as archives do."""
    at = place
    for _ in range(DEEPEST):
        folders = [each for each in at.iterdir() if each.is_dir() and not each.name.startswith(".")]
        if len(folders) != 1:
            return at.relative_to(place) if at != place and sum(bool(_pictures(each)) for each in folders) > 1 else None
        at = folders[0]
    return None


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=_refuse)
        for name in names
        if name.lower().endswith(PICTURES) and not name.startswith(".")
    )


def _refuse(error: OSError) -> None:
    """A folder that cannot be looked into would be a class that is not there; the loader refuses it as well."""
    raise BadData(f"cannot be read: {error.strerror}", where=str(error.filename), next="check the folder's permissions") from error


def _sizes(files: list[Path]) -> str:
    """All sizes in words, of a sample of the files."""
    from PIL import Image

    sizes = []
    for file in files[:: max(1, len(files) // SAMPLE)][:SAMPLE]:
        if not file.is_file():  # a pipe would be waited for
            continue
        try:
            with Image.open(file) as picture:
                sizes.append(picture.size)
        except Exception:  # told by the loader, with its name
            continue
    if not sizes:
        return "of a size that could not be read"
    sizes.sort(key=lambda size: size[0] * size[1])
    least, most = sizes[0], sizes[-1]
    return f"{least[0]}×{least[1]}" + ("" if least == most else f" to {most[0]}×{most[1]}")
