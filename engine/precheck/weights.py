"""Whether what a model starts from can be had and fits it, as far as names and headers tell."""

from __future__ import annotations

import re
from pathlib import Path

from engine.errors import BadData, MissingData, RequestError, UnknownName, nearest
from engine.models.bert.folder import CONFIG, WHOLE, settings_of, weight_files
from engine.precheck import networks
from engine.precheck.tensors import START_FROM_NOTHING, Shapes, shapes_of
from engine.scenario import weights as place
from engine.scenario.sections import BertSection, ConvSection, ModelSection, NetworkKeys, TorchvisionSection, VggSection


def check(section: ModelSection, data_dir: Path) -> None:
    """Raises the RequestError that a run's first look at the weights would end in. What can be downloaded is not missed here."""
    if isinstance(section, BertSection):
        _bert(section)
        return
    if isinstance(section, TorchvisionSection):
        _architecture(section.architecture)
    if isinstance(section, NetworkKeys) and section.weights not in (place.RANDOM, place.IMAGENET):
        _network(section, Path(section.weights).expanduser())


def _architecture(name: str) -> None:
    classifiers, others = networks.torchvision_models()
    if not classifiers or name in classifiers:
        return
    if name in others:
        raise RequestError(f"{name} does not classify single pictures", where="model.architecture", next="use a classifier, as resnet18")
    raise UnknownName("torchvision classifier", name, classifiers)


# ---- files ----------------------------------------------------------------------------------------------------------


def _network(section: NetworkKeys, path: Path) -> None:
    _is_file(path)
    shapes = shapes_of(path)
    if shapes is None:
        return
    wanted, name = _wanted(section)
    seen = networks.looks_like(shapes)
    if not wanted:  # a torchvision architecture, whose tensors are known to torchvision alone
        if seen is not None and seen[0] != name and _told_apart(name, seen[0]):
            raise _unfit(path, name, "its tensors are those of another network", seen)
        return
    missing = [key for key in wanted if key not in shapes]
    other = [f"{key} is {_x(shapes[key])} for {_x(size)}" for key, size in wanted.items() if key in shapes and shapes[key] != size]
    if missing:
        raise _unfit(path, name, f"{len(missing)} of its {len(wanted)} tensors are not in the file ({_first(missing)})", seen)
    if other:
        raise _unfit(path, name, f"{len(other)} tensors have another shape ({_first(other)})", seen)
    if isinstance(section, VggSection) and (more := [key for key in shapes if re.match(r"features\.", key) and key not in wanted]):
        raise _unfit(path, name, f"it has no place for {len(more)} of the file's tensors ({_first(more)})", seen)


def _wanted(section: NetworkKeys) -> tuple[Shapes, str]:
    if isinstance(section, VggSection):
        return networks.vgg(section.depth), f"VGG{section.depth}"
    if isinstance(section, ConvSection):
        return networks.conv(), "conv"
    assert isinstance(section, TorchvisionSection)
    return {}, section.architecture


def _told_apart(name: str, seen: str) -> bool:
    """Whether a file that looks like `seen` cannot be of the architecture: torchvision's own VGGs are a VGG's as well."""
    known = name in networks.RESNETS.values() or re.fullmatch(r"vgg\d\d(_bn)?", name) is not None
    return seen.lower() != name.removesuffix("_bn") and (known or seen.startswith(("VGG", "conv", "a text")))


def _unfit(path: Path, name: str, what: str, seen: tuple[str, str] | None) -> BadData:
    if seen is not None and seen[0] != name:
        return BadData(
            f"does not fit {name}: {what}; it looks like {seen[0]}", where=str(path), next=f"set {seen[1]}, or give weights of {name}"
        )
    return BadData(f"does not fit {name}: {what}", where=str(path), next=f"give weights of {name}, or {START_FROM_NOTHING}")


def _is_file(path: Path) -> None:
    if not path.exists():
        near = nearest(path.name, [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else [])
        hint = f"did you mean {near!r}? check model.weights, or set it to random" if near else "check model.weights, or set it to random"
        raise MissingData("there is no such file of weights", where=str(path), next=hint)
    if not path.is_file():
        raise BadData("is not a file of weights", where=str(path), next=f"give another file, or {START_FROM_NOTHING}")


# ---- text encoders --------------------------------------------------------------------------------------------------


def _bert(section: BertSection) -> None:
    if section.weights == place.RANDOM:
        wanted = section.architecture or place.BERTS[0]
        if wanted not in place.BERTS:
            raise UnknownName("architecture", wanted, place.BERTS)
        return
    if section.weights == place.HUB:
        return
    folder = Path(section.weights).expanduser()
    config = settings_of(folder)
    shapes: Shapes = {}
    for file in weight_files(folder):
        shapes |= shapes_of(file) or {}
    words = next((shape for name, shape in shapes.items() if name.endswith("embeddings.word_embeddings.weight")), None)
    expected = (config.get("vocab_size"), config.get("hidden_size"))
    if words is not None and config.get("model_type", "bert") == "bert" and None not in expected and words != expected:
        what = f"does not fit its {CONFIG}: its table of tokens is {_x(words)}, for {expected[0]} x {expected[1]}"
        raise BadData(what, where=str(folder / WHOLE), next="get both files anew, from one place")
    layers = {int(match[1]) for name in shapes if (match := re.search(r"encoder\.layer\.(\d+)\.", name))}
    many = config.get("num_hidden_layers")
    if config.get("model_type", "bert") == "bert" and isinstance(many, int) and many > 0 and not set(range(many)) <= layers:
        what = f"holds {len(layers)} layers of an encoder where its {CONFIG} asks for {many}"
        raise BadData(what, where=str(folder), next="give the weights of a BERT encoder, with the config.json that belongs to them")


def _x(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _first(items: list[str]) -> str:
    return ", ".join(items[:3]) + (", ..." if len(items) > 3 else "")
