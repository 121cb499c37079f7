"""Directory trees: listed with suspicion, copied in parallel, published in one step, hashed the same on any machine."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from twentyops.patchset.errors import HostileInput, UsageError

LEFT_OUT = frozenset({".git", "node_modules"})
WORKERS = 4
_HOPS = 40


@dataclass(frozen=True)
class Item:
    """One entry of a tree: ``kind`` is ``dir``, ``file`` or ``link``; paths use ``/`` and start below the root."""

    path: str
    kind: str
    executable: bool = False
    size: int = 0
    target: str = ""


def scan(root: Path) -> list[Item]:
    """Everything below ``root`` but ``.git`` and ``node_modules``, sorted by path. Links are listed, never followed.

    Raises ``HostileInput`` for devices, pipes and sockets, and ``UsageError`` where ``root`` is no readable directory.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is no directory; give the root of a Twenty checkout")
    found: list[Item] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(root / folder))
        except OSError as error:
            raise UsageError(f"{root / folder} cannot be read: {error.strerror}") from error
        for entry in entries:
            if entry.name in LEFT_OUT:
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_symlink():
                found.append(Item(path, "link", target=str(Path(entry.path).readlink())))
            elif entry.is_dir(follow_symlinks=False):
                found.append(Item(path, "dir"))
                pending.append(path)
            elif entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found.append(Item(path, "file", bool(status.st_mode & stat.S_IXUSR), status.st_size))
            else:
                raise HostileInput(f"{path} is a device, pipe or socket; only files, directories and links are copied")
    return sorted(found, key=lambda item: os.fsencode(item.path))


def refuse_escapes(root: Path, items: list[Item]) -> None:
    """Refuse links that leave the tree at any step of their way. All of them are named in one ``HostileInput``."""
    links = {item.path: item.target for item in items if item.kind == "link"}
    bad = [f"{path} -> {target}" for path, target in links.items() if _leaves(path, links)]
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise HostileInput(f"symbolic links out of {root}: {'; '.join(bad[:5])}{more}. Remove them or make them relative")


def _leaves(path: str, links: Mapping[str, str]) -> bool:
    here = path.split("/")[:-1]
    rest = links[path].split("/")
    if links[path].startswith("/"):
        return True
    for _ in range(_HOPS * 64):
        if not rest:
            return False
        part = rest.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                return True
            here.pop()
            continue
        target = links.get("/".join([*here, part]))
        if target is None:
            here.append(part)
        elif target.startswith("/"):
            return True
        else:
            rest = [*target.split("/"), *rest]
    return False  # a loop inside the tree leads nowhere


def _clone(source: int, target: int, size: int) -> None:
    """Contents of one descriptor to another, in the kernel where it can."""
    left = size
    try:
        while left > 0:
            done = os.copy_file_range(source, target, left)
            if done == 0:
                return
            left -= done
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            raise
        while chunk := os.read(source, 1 << 20):
            _write(target, chunk)


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def _mode(executable: bool) -> int:
    return 0o755 if executable else 0o644


def write_file(path: Path, data: bytes, executable: bool) -> None:
    """A new file with exactly these bytes; permissions 0755 or 0644 whatever the umask says."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        _write(descriptor, data)
        os.fchmod(descriptor, _mode(executable))
    finally:
        os.close(descriptor)


def _copy_file(source: str, target: str, item: Item) -> None:
    incoming = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        outgoing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            _clone(incoming, outgoing, item.size)
            os.fchmod(outgoing, _mode(item.executable))
        finally:
            os.close(outgoing)
    finally:
        os.close(incoming)


def copy(root: Path, items: list[Item], target: Path, leave_out: frozenset[str] | set[str] = frozenset()) -> None:
    """Copy listed items into the empty directory ``target``, without ``leave_out``. The owner's exec bit is kept."""
    for item in items:
        if item.kind == "dir":
            (target / item.path).mkdir(mode=0o755)
            (target / item.path).chmod(0o755)
    for item in items:
        if item.kind == "link" and item.path not in leave_out:
            (target / item.path).symlink_to(item.target)
    files = [item for item in items if item.kind == "file" and item.path not in leave_out]
    base, out = str(root), str(target)

    def some(part: list[Item]) -> None:
        for item in part:
            _copy_file(f"{base}/{item.path}", f"{out}/{item.path}", item)

    _in_parallel(some, files)


def _in_parallel(work: Callable[[list[Item]], None], items: list[Item]) -> None:
    parts = [items[at : at + 64] for at in range(0, len(items), 64)]
    with ThreadPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(work, part) for part in parts]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def tree_fingerprint(path: Path) -> str:
    """SHA-256 (hex) over path, kind, exec bit, content or link target of all but ``.git`` and ``node_modules``.

    The same on any machine: times, owners, other permission bits and the tree's own name do not enter.
    Raises ``UsageError`` where ``path`` is no directory and ``HostileInput`` for devices and pipes.
    """
    root = Path(path)
    items = scan(root)
    digests: dict[str, bytes] = {}
    base = str(root)

    def some(part: list[Item]) -> None:
        for item in part:
            with open(f"{base}/{item.path}", "rb", buffering=0) as stream:  # noqa: PTH123 (15,000 of them: Path is slower)
                digests[item.path] = hashlib.file_digest(stream, "sha256").digest()

    _in_parallel(some, [item for item in items if item.kind == "file"])
    whole = hashlib.sha256()
    for item in items:
        if item.kind == "dir":
            continue  # git knows no empty directories either
        content = digests[item.path] if item.kind == "file" else os.fsencode(item.target)
        mark = b"x" if item.executable else b"-"
        whole.update(b"\0".join([item.kind.encode(), mark, os.fsencode(item.path), content.hex().encode()]) + b"\n")
    return whole.hexdigest()


# --- publishing -----------------------------------------------------------------------------------------------------

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories in one step; ``False`` where kernel or file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def check_target(source: Path, target: Path, marker: str) -> None:
    """Refuse an output that is not ours to replace, or that lies in the source (or the source in it)."""
    if target.is_symlink():
        raise UsageError(f"{target} is a symbolic link; give the directory itself")
    inside, outside = target.parent.resolve() / target.name, source.resolve()
    if inside == outside or outside in inside.parents or inside in outside.parents:
        raise UsageError(f"{target} and the source {source} lie in each other; give a directory outside of the source")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} does not exist; make it first")
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is no directory")
    if any(target.iterdir()) and not is_ours(target, marker):
        raise UsageError(f"{target} is not empty and was not made by this tool; remove it or give another directory")


def is_ours(target: Path, marker: str) -> bool:
    """Whether a directory was made by ``apply``: it carries the marker as a regular file."""
    try:
        return stat.S_ISREG((target / marker).lstat().st_mode)
    except OSError:
        return False


@contextmanager
def workshop(target: Path) -> Iterator[Path]:
    """An empty directory beside ``target`` to build in. Removed on failure; what a killed run left is removed first."""
    prefix = f".{target.name}.patchset-"
    for left in target.parent.glob(f"{prefix}*"):
        _remove_if_dead(left)
    place, lock = _locked_directory(prefix, target.parent)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def _locked_directory(prefix: str, parent: Path) -> tuple[Path, int]:
    """A new directory and the descriptor that locks it; made again when a cleaner was faster than the lock."""
    while True:
        place = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            return place, lock
        os.close(lock)


def _remove_if_dead(place: Path) -> None:
    """Remove the workshop of a run that is no more: nobody holds its lock."""
    try:
        lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(lock)


def publish(built: Path, target: Path) -> None:
    """Put ``built`` in the place of ``target`` (absent, empty, or made by us) in one step."""
    built.chmod(0o755)
    if not target.exists() or not any(target.iterdir()):
        built.rename(target)
        return
    if not _exchange(built, target):
        old = built.with_name(f"{built.name}.old")
        target.rename(old)
        built.rename(target)
        shutil.rmtree(old, ignore_errors=True)
