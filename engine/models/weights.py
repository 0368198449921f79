"""What a network starts from when it is not random: torchvision's ImageNet weights, or a file. Nothing is ever unpickled as code.

The last dense layer is never read from a file: it is always drawn anew for the classes at hand.
"""

from __future__ import annotations

import os
import pickle
import re
import tempfile
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.errors import BadData, MissingData
from engine.scenario.weights import checkpoint_dir

Progress = Callable[[str, float], None]  # what is being done, and how much of it is done: 0..1
TIMEOUT_S = 30.0
START_FROM_NOTHING = "start from nothing with --set model.weights=random"
NEXT = f"give another file, or {START_FROM_NOTHING}"
WRAPPERS = ("state_dict", "model_state_dict", "model")  # what training programs keep weights under
# torchvision's older checkpoints bear names that it has changed since
RENAMED = (
    (re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$"), r"\1\2"),
    (re.compile(r"^(.*\.mlp)\.linear_1\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"^(.*\.mlp)\.linear_2\.(weight|bias)$"), r"\1.3.\2"),
)
UNREAD = re.compile(r"^(head|classifier|fc|heads|AuxLogits|aux1|aux2)\.|\.num_batches_tracked$")


def silent(what: str, done: float) -> None:
    """Progress that nobody watches."""


# ---- files ----------------------------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, Tensor]:
    """Tensor name -> tensor of a file of weights (.pt and .pth with `weights_only`, .safetensors), on the CPU.

    MissingData where there is none; BadData for what is no such file, is cut short, or holds code.
    """
    where = str(path)
    if not path.exists():
        raise MissingData("there is no such file of weights", where=where, next="check model.weights, or set it to random")
    if not path.is_file():
        raise BadData("is not a file of weights", where=where, next=NEXT)
    try:
        loaded = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    except pickle.UnpicklingError as error:
        if re.search(r"GLOBAL|Unsupported (global|class|operand)|instantiate", str(error)):
            what = "holds pickled objects besides tensors, which could run code, and is not opened"
            raise BadData(what, where=where, next="save the model's state_dict() alone, or as .safetensors") from None
        raise BadData("is not a file of weights, or is damaged", where=where, next=NEXT) from error
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror or error}", where=where, next="check its permissions") from error
    except Exception as error:  # zip, pickle and safetensors each have their own ways to say that bytes are missing
        raise BadData("is not a file of weights, or is cut short or damaged", where=where, next=NEXT) from error
    return _tensors(loaded, where)


def _torch(path: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of pickle protocols; what cannot be read is an error of its own
        return torch.load(path, map_location="cpu", weights_only=True)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return dict(load_file(path))


def _tensors(loaded: object, where: str) -> dict[str, Tensor]:
    """The tensors by name, out of whatever dict they are kept in."""
    for key in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    tensors = {str(name): t for name, t in loaded.items() if isinstance(t, Tensor)} if isinstance(loaded, Mapping) else {}
    if not tensors:
        raise BadData("holds no named tensors", where=where, next="save the model's state_dict()")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): t for name, t in tensors.items()}
    return tensors


def fitted(checkpoint: Mapping[str, Tensor], body: nn.Module, *, prefix: str, name: str, where: str) -> dict[str, Tensor]:
    """The body's floating tensors, by its own names, out of a checkpoint in which they are called `prefix` and that name.

    Raises BadData where one is missing, has another shape, is not finite, or where there are others that the body has no place for.
    """
    renamed = {_today(key): tensor for key, tensor in checkpoint.items()}
    wanted = {prefix + key: t for key, t in (*body.named_parameters(), *body.named_buffers())}
    floating = {key: t for key, t in wanted.items() if t.is_floating_point()}
    missing = [key for key in floating if key not in renamed]
    if missing:
        raise _unfit(name, where, f"{len(missing)} of its {len(floating)} tensors are not in the file", missing)
    other = [f"{k} is {_shape(renamed[k])} for {_shape(t)}" for k, t in floating.items() if renamed[k].shape != t.shape]
    if other:
        raise _unfit(name, where, f"{len(other)} tensors have another shape", other)
    strange = [key for key in renamed if key not in wanted and not UNREAD.search(key)]
    if strange:
        raise _unfit(name, where, f"it has no place for {len(strange)} of the file's tensors", strange)
    odd = [key for key in floating if not renamed[key].is_floating_point() or not bool(torch.isfinite(renamed[key]).all())]
    if odd:
        raise BadData(f"has tensors that are not finite numbers ({_first(odd)})", where=where, next=NEXT)
    return {key.removeprefix(prefix): renamed[key].detach().float() for key in floating}


def _today(key: str) -> str:
    for pattern, to in RENAMED:
        key = pattern.sub(to, key)
    return key


def _unfit(name: str, where: str, what: str, examples: list[str]) -> BadData:
    return BadData(
        f"does not fit {name}: {what} ({_first(examples)})", where=where, next=f"give weights of {name}, or {START_FROM_NOTHING}"
    )


def _first(items: list[str]) -> str:
    return ", ".join(items[:3]) + (", ..." if len(items) > 3 else "")


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def checksum(path: Path) -> str:
    """SHA-256 of a file, "sha256:...". BadData where it cannot be read."""
    try:
        status = path.stat()
        return _checksum(path, status.st_mtime_ns, status.st_size)
    except FileNotFoundError:
        raise MissingData("there is no such file of weights", where=str(path), next="check model.weights, or set it to random") from None
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror or error}", where=str(path), next="check its permissions") from error


@lru_cache(maxsize=16)
def _checksum(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return f"sha256:{file_digest(file, 'sha256').hexdigest()}"


# ---- torchvision's ---------------------------------------------------------------------------------------------------


def imagenet(url: str, progress: Progress = silent) -> Path:
    """torchvision's file of weights, in torch hub's folder; downloaded there where it is missing.

    Its name bears the first digits of its SHA-256. MissingData where it cannot be had, BadData where it is another file of that name.
    """
    path = checkpoint_dir() / url.rpartition("/")[2]
    if not path.exists():
        _download(url, path, progress)
    elif not _is_what_it_says(path, path.name):
        what = "is not the official file, or is cut short or damaged: its SHA-256 is not the one in its name"
        raise BadData(what, where=str(path), next=f"delete it and it is fetched again, or get it from {url}")
    return path


def _is_what_it_says(path: Path, name: str) -> bool:
    digits = re.search(r"-([0-9a-f]{8,})\.", name)
    return digits is None or checksum(path).startswith(f"sha256:{digits[1]}")


def _download(url: str, path: Path, progress: Progress) -> None:
    """Whatever happens, no partial file is left under its name."""
    import requests

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file, requests.get(url, stream=True, timeout=TIMEOUT_S) as answer:
                answer.raise_for_status()
                total, got = int(answer.headers.get("Content-Length", 0)), 0
                for chunk in answer.iter_content(1 << 20):
                    got += file.write(chunk)
                    progress(f"downloading {path.name}", min(1.0, got / total) if total else 0.0)
            if total and got != total:
                raise _missing(url, path, f"the connection broke off after {got:,} of {total:,} bytes")
            if not _is_what_it_says(Path(part), path.name):
                raise _missing(url, path, "what came has another checksum than its name says, and was not kept")
            os.chmod(part, 0o644)
            os.replace(part, path)
        finally:
            Path(part).unlink(missing_ok=True)
    except requests.RequestException as error:
        answer_ = getattr(error, "response", None)
        why = f"the server answers {answer_.status_code}" if answer_ is not None else "no connection"
        raise _missing(url, path, why) from error
    except OSError as error:
        raise _missing(url, path, f"the folder cannot be written to: {error.strerror or error}") from error


def _missing(url: str, path: Path, why: str) -> MissingData:
    return MissingData(
        f"the ImageNet weights {path.name} are not here and could not be fetched ({why})",
        where=url,
        next=f"get the file elsewhere and put it into {path.parent}, or {START_FROM_NOTHING}",
    )
