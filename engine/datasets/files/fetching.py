"""Files of official archives: found, checked against their checksum, downloaded where the network allows.

A download is written beside its place under another name and moved there only once its checksum is right, so that a file
under its own name is whole. The error for a file that cannot be had names it, where to get it and where to put it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.datasets.files.places import DataState, Progress, require_file, silent
from engine.errors import BadData, MissingData

TIMEOUT_S = 30.0
STALE_S = 3600.0  # a partial download this old has no writer left
PART = ".part"


@dataclass(frozen=True)
class Source:
    """One official file: its place in the data folder, its MD5 and size in bytes, and where it comes from.

    base   URL of the folder that holds it; `page` is for a person with a browser
    """

    folder: str
    name: str
    md5: str
    size: int
    base: str
    page: str

    def path(self, data_dir: Path) -> Path:
        return data_dir / self.folder / self.name

    def url(self, base_url: str | None = None) -> str:
        return f"{(base_url or self.base).rstrip('/')}/{self.name}"


def state_of(sources: tuple[Source, ...], data_dir: Path) -> DataState:
    """Whether all are here, by name and size alone."""
    files = tuple(source.path(data_dir) for source in sources)
    wrong = []
    for source, path in zip(sources, files, strict=True):
        try:
            size = path.stat().st_size
        except OSError:
            wrong.append(f"{source.name} is missing")
            continue
        if size != source.size:
            wrong.append(f"{source.name} has {size:,} bytes, the official file {source.size:,}")
    if wrong:
        return DataState(False, f"{'; '.join(wrong)} (in {files[0].parent})", files)
    return DataState(True, f"in {files[0].parent}", files)


def checked_path(source: Source, data_dir: Path, progress: Progress = silent, base_url: str | None = None) -> Path:
    """The file, its checksum verified; downloaded where it is missing. BadData on a wrong checksum, MissingData where it cannot be had."""
    path = source.path(data_dir)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return download(source, data_dir, progress, base_url)
    except OSError as error:
        raise BadData(f"cannot be looked at: {error.strerror}", where=str(path), next="check the folder's permissions") from error
    checksum = md5_of(path)
    if checksum != source.md5:
        raise BadData(
            f"MD5 is {checksum}, the official file's is {source.md5} ({path.stat().st_size:,} bytes for {source.size:,})",
            where=str(path),
            next=f"delete or move it and run `subpop data fetch {source.folder}`, or get it again from {source.page}",
        )
    return path


def download(source: Source, data_dir: Path, progress: Progress = silent, base_url: str | None = None) -> Path:
    """Fetch one file to its place. Whatever happens, Ctrl-C included, no partial file is left under its name."""
    import pooch
    import requests

    path, url = source.path(data_dir), source.url(base_url)
    part = _new_part(source, path)
    try:
        bar = _Bar(lambda done: progress(f"downloading {source.name}", done), source.size)
        try:
            pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT_S)(url, str(part), None)
        except requests.RequestException as error:
            raise _missing(source, path, url, _in_words(error)) from error
        except OSError as error:
            raise _missing(source, path, url, f"could not be written: {error.strerror or error}") from error
        checksum, size = md5_of(part), part.stat().st_size
        if checksum != source.md5:
            raise BadData(
                f"what came has MD5 {checksum} and {size:,} bytes; the official file has {source.md5} and {source.size:,}; it was not kept",
                where=url,
                next=f"try again, or get {source.name} from {source.page} and put it at {path}",
            )
        part.chmod(0o644)  # mkstemp makes it private; a shared data folder is read by others
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    progress(f"downloaded {source.name}", 1.0)
    return path


def md5_of(path: Path) -> str:
    """MD5, hexadecimal; BadData where the file cannot be read."""
    return digest_of(path, "md5")


def digest_of(path: Path, algorithm: str) -> str:
    """The file's checksum, hexadecimal; BadData where it cannot be read."""
    from hashlib import file_digest

    require_file(path)
    try:
        with path.open("rb") as file:
            return file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror}", where=str(path), next="check that it is a file and its permissions") from error


def _new_part(source: Source, path: Path) -> Path:
    """An empty file to download into, beside `path`; sweeps away what killed downloads of the same file left."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob(f".{source.name}.*{PART}"):
            if time.time() - old.stat().st_mtime > STALE_S:
                old.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{source.name}.", suffix=PART, dir=path.parent)
    except OSError as error:
        raise MissingData(
            f"{source.name} is not here, and the folder cannot be written to: {error.strerror}",
            where=str(path.parent),
            next=f"get {source.name} from {source.page} and put it at {path}, or point --data or $SUBPOP_DATA at a folder of yours",
        ) from error
    os.close(handle)
    return Path(name)


def _missing(source: Source, path: Path, url: str, why: str) -> MissingData:
    return MissingData(
        f"{source.folder}/{source.name} is not here and could not be fetched ({why})",
        where=url,
        next=f"get {source.name} from {source.page} and put it at {path}, or point --data or $SUBPOP_DATA at a folder that holds "
        f"{source.folder}/{source.name}",
    )


def _in_words(error: Exception) -> str:
    """What a failed request means to someone who knows no HTTP library."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached or refuses"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate cannot be verified"
    if isinstance(error, requests.Timeout):
        return f"no answer for {TIMEOUT_S:g} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off before the whole file had come"
    text = str(error).lower()
    if "refused" in text:
        return "connection refused"
    if "resolve" in text or "name or service" in text:
        return "the server's name cannot be resolved: no network here?"
    return f"{type(error).__name__}: no connection"


class _Bar:
    """What pooch asks of a progress bar, turned into a call with the share that is done."""

    def __init__(self, report: Callable[[float], None], expected: int) -> None:
        self.report, self.expected, self.total, self.got = report, expected, 0, 0

    def update(self, size: int) -> None:
        self.got += size
        self.report(min(1.0, self.got / (self.total or self.expected)))

    def reset(self) -> None:
        self.got = 0

    def close(self) -> None:
        pass
