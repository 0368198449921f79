"""A store that cannot be opened, read or written is refused in words that say what, where and what to do."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import StoreError
from engine.store import MEMORY, Store, default_path, migrations
from engine.system.filesystem import mount_kind, network_kind
from tests.worlds.store import new_run, plan, stack_victims, table

# ---- places ---------------------------------------------------------------------------------------------------------

MOUNTS = r"""
/dev/vda / ext4 rw,relatime 0 0
overlay /containers overlay rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
server:/export /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/local xfs rw 0 0
//nas/share /mnt/two\040words cifs rw 0 0
me@host: /home/local/far fuse.sshfs rw 0 0
fuse-overlayfs /home/local/near fuse.fuse-overlayfs rw 0 0
scratch /scratch lustre rw 0 0
host /mnt/host 9p rw 0 0
share /vm/kvm virtiofs rw 0 0
share /vm/box vboxsf rw 0 0
share /vm/old vmhgfs rw 0 0
share /vm/ware fuse.vmhgfs-fuse rw 0 0
share /vm/parallels prl_fs rw 0 0
/run/host_mark/Users /vm/docker fakeowner rw 0 0
grpcfuse /vm/desktop fuse.grpcfuse rw 0 0
old /again nfs rw 0 0
new /again xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/runs.db", None),
        ("/containers/x/runs.db", None),
        ("/dev/shm/runs.db", None),
        ("/home/ada/runs.db", "nfs4"),
        ("/home/local/runs.db", None),
        ("/homely/runs.db", None),
        ("/mnt/two words/runs.db", "cifs"),
        ("/home/local/far/runs.db", "fuse.sshfs"),
        ("/home/local/near/runs.db", None),
        ("/scratch/a/b/runs.db", "lustre"),
        ("/mnt/host/runs.db", "9p"),
        ("/again/runs.db", None),
        ("/vm/kvm/runs.db", "virtiofs"),
        ("/vm/box/runs.db", "vboxsf"),
        ("/vm/old/runs.db", "vmhgfs"),
        ("/vm/ware/runs.db", "fuse.vmhgfs-fuse"),
        ("/vm/parallels/runs.db", "prl_fs"),
        ("/vm/docker/runs.db", "fakeowner"),
        ("/vm/desktop/runs.db", "fuse.grpcfuse"),
    ],
)
def test_network_file_systems_are_told_by_the_longest_mount(path: str, kind: str | None) -> None:
    assert network_kind(Path(path), MOUNTS) == kind


def test_mounts_as_bsd_and_macos_list_them() -> None:
    listing = "/dev/disk3s1 on / (apfs, local)\nserver:/vol on /Volumes/vol (nfs, nodev)\n//a@nas/x on /Volumes/x y (smbfs, nodev)\n"
    assert network_kind(Path("/Volumes/vol/runs.db"), listing) == "nfs"
    assert network_kind(Path("/Volumes/x y/runs.db"), listing) == "smbfs"
    assert mount_kind(Path("/Users/ada"), listing) == "apfs"


def test_a_store_on_a_network_file_system_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*local disk with --store FILE or \$SUBPOP_STORE"):
        Store.open(path, mounts=f"server:/x {tmp_path.resolve()} nfs4 rw 0 0\n")
    assert not path.exists()
    Store.open(path, mounts=f"disk {tmp_path.resolve()} ext4 rw 0 0\n").close()


def test_a_link_to_a_network_file_system_is_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far")
    assert network_kind(tmp_path / "link" / "runs.db", f"server:/x {(tmp_path / 'far').resolve()} nfs rw 0 0\n") == "nfs"


def test_the_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUBPOP_STORE", str(tmp_path / "mine.db"))
    assert default_path() == tmp_path / "mine.db"
    monkeypatch.delenv("SUBPOP_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path().name == "runs.db"


# ---- files that are none --------------------------------------------------------------------------------------------


def refused(path: Path, match: str, **options: object) -> None:
    with pytest.raises(StoreError, match=match) as told:
        Store.open(path, **options).close()  # type: ignore[arg-type]
    assert str(path) in str(told.value)
    assert told.value.next


def test_no_file_a_folder_and_a_file_in_the_way(tmp_path: Path) -> None:
    refused(tmp_path / "runs.db", "there is no results store here", create=False)
    refused(tmp_path, "this is a folder")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file" / "runs.db", "folder cannot be made")
    refused(Path("/proc/runs.db"), "cannot be opened: its folder is missing or not writable")


def test_files_that_are_no_store(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("age,income\n" * 500)
    refused(text, "not a results store")
    refused(Path("/dev/null"), "a device or a pipe, not a results store")
    assert text.read_text().startswith("age,income")
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE places (url TEXT)")
    refused(other, "another program's database")
    with contextlib.closing(sqlite3.connect(other)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete", "left as it was"


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with Store.open(path) as store, store.write() as db:
        db.execute("PRAGMA user_version = 99")
    refused(path, r"newer subpop \(schema 99, this one knows \d+\); upgrade subpop")


def test_a_damaged_store_is_told(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with Store.open(path) as store:
        for _ in range(50):
            new_run(store)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * 8192 + whole[12288:])
    with pytest.raises(StoreError, match=r"damaged|not a results store"), Store.open(path) as store:
        store.runs()


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.touch()
    with Store.open(path) as store:
        assert store.runs() == []
        assert store.read("PRAGMA journal_mode")[0][0] == "wal"
        assert store.read("PRAGMA user_version")[0][0] == len(migrations.MIGRATIONS)


def test_a_store_that_is_deleted_or_replaced_under_us_is_told_at_once(tmp_path: Path) -> None:
    path, aside = tmp_path / "runs.db", tmp_path / "aside.db"
    with Store.open(path) as store, Store.open(tmp_path / "other.db"):
        run_id = store.create_run(name="n", title="t", scenario_toml="", scenario_hash="0" * 16).id
        path.rename(aside)
        for deed in (
            lambda: store.run(run_id),
            lambda: store.log(run_id, "info", "x"),
            lambda: store.heartbeat(run_id),
            store.data_version,
        ):
            with pytest.raises(StoreError, match="was deleted, moved or replaced"):
                deed()
        (tmp_path / "other.db").rename(path)
        with pytest.raises(StoreError, match="was deleted, moved or replaced"):
            store.log(run_id, "info", "x")
        aside.rename(path)
        store.log(run_id, "info", "back again")
        assert [row.message for row in store.log_rows(run_id)] == ["back again"]


def test_a_store_that_is_locked_says_so_in_time(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with Store.open(path) as holder, Store.open(path, busy_timeout_s=0.05) as other, holder.write():
        with pytest.raises(StoreError, match="the store is locked"):
            new_run(other)
        assert other.runs() == []  # readers are not kept out
        refused(path, "the store is locked", busy_timeout_s=0.05)


READ_ONLY = """
import os, sys
from pathlib import Path
from engine.errors import StoreError
from engine.store import Store
if os.geteuid() == 0:  # to root nothing is read-only
    os.setgroups([])
    os.setuid(65534)
for name in sys.argv[1:]:
    try:
        Store.open(Path(name)).close()
        print("opened")
    except StoreError as error:
        print(error)
"""


def test_read_only_files_and_folders_are_refused(tmp_path: Path) -> None:
    file, folder, empty = tmp_path / "file" / "runs.db", tmp_path / "folder" / "runs.db", tmp_path / "empty" / "runs.db"
    for path in (file, folder):
        Store.open(path).close()
    file.chmod(0o444)
    folder.parent.chmod(0o555)
    empty.parent.mkdir(mode=0o555)
    mine = [
        parent for parent in (tmp_path, *tmp_path.parents) if parent.stat().st_uid == os.geteuid() and parent.stat().st_mode & 0o077 == 0
    ]
    for parent in mine:  # the other user must get here
        parent.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", READ_ONLY, str(file), str(folder), str(empty)], capture_output=True, text=True)
    for parent in mine:
        parent.chmod(0o700)
    folder.parent.chmod(0o755)
    said = done.stdout.splitlines()
    assert len(said) == 3, done.stderr
    assert all("read-only" in line or "not writable" in line for line in said), said


# ---- a full disk ----------------------------------------------------------------------------------------------------


def test_on_a_full_disk_what_was_committed_stays(tmp_path: Path) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        run_id = new_run(store)
        store.save_plan(run_id, plan(2))
        store.commit_stack(run_id, 0, stack_victims(0), 1.0, {"damage": table((0, "a", 0.1))})
        pages = store.read("PRAGMA page_count")[0][0]
        store.read(f"PRAGMA max_page_count = {pages}")
        big = table(*((i, "x" * 4000, 0.5) for i in range(20)))
        with pytest.raises(StoreError, match="the disk is full; what was committed is safe"):
            store.commit_stack(run_id, 1, stack_victims(1), 1.0, {"damage": big})
        assert store.stacks_done(run_id) == {0}
        assert store.table(run_id, "damage") == table((0, "a", 0.1))
        store.read("PRAGMA max_page_count = 100000")
        store.commit_stack(run_id, 1, stack_victims(1), 1.0, {"damage": big})
        assert store.run(run_id).victims_done == 4


FILLS = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.worlds.store import new_run, plan, stack_victims, table
from engine.errors import StoreError
from engine.store import Store
with Store.open(Path(sys.argv[1])) as store:
    run_id = new_run(store)
    store.save_plan(run_id, plan(400))
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    try:
        for stack in range(400):
            store.commit_stack(run_id, stack, stack_victims(stack), 1.0, {"damage": table(*((i, "x" * stack, 0.5) for i in range(50)))})
            print(stack, flush=True)
    except StoreError as error:
        print(error)
"""


def test_where_the_system_refuses_to_write_every_commit_that_was_told_is_there(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    done = subprocess.run([sys.executable, "-c", FILLS, str(path), str(Path(__file__).parents[2])], capture_output=True, text=True)
    *told, last = done.stdout.splitlines()
    assert "what was committed is safe" in last, done.stdout + done.stderr
    assert told
    with Store.open(path) as store:
        assert store.stacks_done(store.find("latest").id) >= {int(stack) for stack in told}


# ---- migrations -----------------------------------------------------------------------------------------------------


def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.db"
    with Store.open(path) as store:
        run_id = new_run(store)

    def breaks(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE half (x)")
        db.execute("INSERT INTO nowhere VALUES (1)")

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, breaks))
    refused(path, "no such table: nowhere")
    monkeypatch.undo()
    with Store.open(path) as store:
        assert store.run(run_id).id == run_id
        assert not store.read("SELECT 1 FROM sqlite_master WHERE name = 'half'")


def test_a_store_in_memory_needs_no_place() -> None:
    with Store.open(MEMORY) as store:
        assert store.runs() == []
