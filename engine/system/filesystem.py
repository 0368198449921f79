"""Where what can be made again is kept; and which file system a path is on: SQLite's write-ahead log needs shared memory, which
network file systems do not give, nor those that show a virtual machine or a container its host's folders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

# File system types, as /proc/mounts and `mount` spell them, whose files several machines, or a guest and its host, can see. FUSE types
# bear a "fuse." prefix.
# fmt: off
NETWORK = frozenset([
    "nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "afpfs", "coda", "lustre", "gpfs", "beegfs", "fhgfs",
    "panfs", "pvfs2", "orangefs", "gfs2", "ocfs2", "9p", "ceph", "glusterfs", "wekafs", "webdav", "davfs", "davfs2",
    "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "fakeowner", "osxfs", "grpcfuse", "drvfs",
])
NETWORK_FUSE = frozenset([
    "sshfs", "s3fs", "s3ql", "mount-s3", "goofys", "gcsfuse", "blobfuse", "blobfuse2", "rclone", "juicefs", "ceph-fuse", "cephfs",
    "curlftpfs", "smbnetfs", "kbfs", "mfs", "moosefs", "lizardfs", "seaweedfs", "hdfs", "gvfsd-fuse", "cvmfs2",
    "vmhgfs-fuse",
])
# fmt: on
_OCTAL = re.compile(r"\\([0-7]{3})")
_BSD_MOUNT = re.compile(r"^(?P<device>.+?) on (?P<point>.+) \((?P<kind>[^,)]+)")


def cache_dir() -> Path:
    """The folder of what can be made again (decoded pictures, features): `$SUBPOP_CACHE`, else the user cache directory.

    It need not exist, and its files may be deleted at any time.
    """
    if from_env := os.environ.get("SUBPOP_CACHE"):
        return Path(from_env).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("subpop", appauthor=False)


def network_kind(path: Path, mounts: str | None = None) -> str | None:
    """The type of the network file system that `path` is or would be on, or None where it is local or cannot be told.

    mounts: the text of /proc/mounts (for tests); read from the machine where None.
    """
    kind = mount_kind(path, mounts)
    if kind is None:
        return None
    family, _, detail = kind.partition(".")
    if kind in NETWORK or (family == "fuse" and (detail in NETWORK_FUSE or detail in NETWORK)):
        return kind
    return None


def mount_kind(path: Path, mounts: str | None = None) -> str | None:
    """The file system type of the mount with the longest prefix of `path`; of two on one point, the later one counts."""
    real = path.expanduser().resolve()
    best: tuple[int, str] | None = None
    for point, kind in _mounts(_mounts_text() if mounts is None else mounts):
        inside = real.is_relative_to(point)
        if inside and (best is None or len(point.parts) >= best[0]):
            best = (len(point.parts), kind)
    return best[1] if best else None


def _mounts_text() -> str:
    try:
        return Path("/proc/mounts").read_text(errors="surrogateescape")
    except OSError:
        pass
    if sys.platform == "darwin" or "bsd" in sys.platform:
        try:
            return subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            pass
    return ""


def _mounts(text: str) -> list[tuple[Path, str]]:
    """(mount point, type) of each line, in Linux's form (device point type options) or BSD's (device on point (type, options))."""
    mounts = []
    for line in text.splitlines():
        if bsd := _BSD_MOUNT.match(line):
            mounts.append((Path(bsd["point"]), bsd["kind"].strip()))
        elif len(parts := line.split()) >= 3:
            mounts.append((Path(_OCTAL.sub(lambda m: chr(int(m[1], 8)), parts[1])), parts[2]))
    return mounts
