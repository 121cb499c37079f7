"""How a host gets to the wanted state: each operation asks facts first and yields only what is missing.

pyinfra runs an operation's generator twice: to see whether something would change, and again when its turn comes. What is
known only then (a digest after the push, a secret on the droplet) is therefore read when ``host.state.is_executing``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

from pyinfra import host, logger
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.facts.apt import noninteractive_apt

from twentyops import daemon, distributions, facts, firewall, prune, scram
from twentyops.errors import NotYetKnown
from twentyops.release import Manifest
from twentyops.stack import DATABASES, HOME, PROJECT, SERVICES

Commands = Generator[PyinfraCommand, None, None]


failures: dict[tuple[str, str | None], str] = {}
"""``{(host, operation): message}`` of what failed in this process, for the notification at its end."""


class Failed(PyinfraCommand):
    """A command that fails its operation with a message for the operator."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message

    def __repr__(self) -> str:
        return "Failed(...)"

    def execute(self, state: State, host: Host, connector_arguments: Any) -> bool:  # noqa: ARG002
        failures[host.name, host.executing_op_hash] = self.message
        for line in self.message.splitlines():
            logger.error(f"{host.print_prefix}{line}")
        return False


class Step(PyinfraCommand):
    """Work done from the control machine as one step of an operation; a returned text is the reason why it failed."""

    def __init__(self, function: Callable[[], str | None], description: str) -> None:
        super().__init__()
        self.function = function
        self.description = description

    def __repr__(self) -> str:
        return f"Step({self.description})"

    def execute(self, state: State, host: Host, connector_arguments: Any) -> bool:
        problem = self.function()
        return True if problem is None else Failed(problem).execute(state, host, connector_arguments)


def host_data() -> dict[str, Any]:
    """What the inventory says of the host at work."""
    data: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
    return data


def executing() -> bool:
    """Whether the operation's turn has come, as against being planned."""
    return bool(host.state.is_executing)


def remote(
    command: str, *, stdin: str | None = None, timeout: int = 300, show: bool = False, sudo: bool = True
) -> tuple[bool, str]:
    """Run a shell command on the host now: ``(succeeded, output)``. Neither input nor output is printed unless ``show``.

    ``sudo``: as root, where the login is another user's.
    """
    arguments: dict[str, Any] = {"_sudo": sudo and bool(host.data.get("_sudo", False)), "_timeout": timeout}
    if stdin is not None:
        arguments["_stdin"] = stdin
    try:
        status, output = host.run_shell_command(StringCommand("sh", "-c", QuoteString(command)), print_output=show, **arguments)
    except TimeoutError:
        return False, f"no end after {timeout} s"
    return status, output.output


def _write(path: str, mode: str, content: str) -> StringCommand:
    """Command that writes ``content`` to ``path`` in one step: written beside, then moved, and only all of it.

    A deploy that is killed while it sends the content ends the command's input early, which ``cat`` takes for its end.
    """
    script = (
        'umask 077; mkdir -p "$(dirname "$1")" && cat > "$1.new" && test "$(wc -c < "$1.new")" -eq "$3"'
        ' && chmod "$2" "$1.new" && mv -f "$1.new" "$1"'
    )
    size = len(content.encode()) + (not content.endswith("\n"))  # pyinfra ends each input with a line break
    return StringCommand("sh -c", QuoteString(script), "sh", QuoteString(path), mode, str(size), _stdin=[content])


@operation()
def secret_file(path: str, content: str, mode: str = "600") -> Commands:
    """Write a file whose content must not be seen: it travels on standard input, never in an argument or a temporary file.

    + path: absolute path on the host
    + content: text; neither it nor a difference is printed
    + mode: permissions, octal
    """
    directory, _, name = path.rpartition("/")
    present = host.get_fact(facts.FileDigests, directory=directory)
    digest = hashlib.sha256(content.encode()).hexdigest()
    found = present.get(name, "").split(" ")[:2]
    if found == [digest, mode]:
        host.noop(f"{path} is as wanted")
        return
    yield _write(path, mode, content)


@operation()
def generated_secrets(directory: str, names: tuple[str, ...], length: int = 32) -> Commands:
    """Make secrets once, on the host, by its own random source; never change one that is there.

    + directory: absolute path, becomes 0700
    + names: one file each, 0600, ``length`` random bytes as hex digits
    """
    present = host.get_fact(facts.FileDigests, directory=directory)
    missing = [name for name in names if name not in present]
    if not missing:
        host.noop(f"{len(names)} secrets are there")
    for name in missing:
        # ln refuses where another run was faster; a file cut short by a kill stays under its temporary name
        script = (
            'set -e; umask 077; mkdir -p "$1"; chmod 700 "$1"; t="$1/.$2.$$"; '
            'od -An -v -tx1 -N "$3" /dev/urandom | tr -d " \\n" > "$t"; [ "$(wc -c < "$t")" = "$(($3 * 2))" ]; '
            'ln "$t" "$1/$2" 2> /dev/null || [ -s "$1/$2" ]; rm -f "$t"'
        )
        yield StringCommand("sh -c", QuoteString(script), "sh", QuoteString(directory), name, str(length))


def read_secrets(directory: str, names: tuple[str, ...]) -> dict[str, str]:
    """The generated secrets, for this process's memory only. ``ValueError`` where one is missing, short, or not distinct."""
    quoted = " ".join(shlex.quote(f"{directory}/{name}") for name in names)
    succeeded, output = remote(f"tail -n +1 -v {quoted} < /dev/null")
    values = {}
    if succeeded:
        lines = [line for line in output.splitlines() if line]
        values = dict(zip((line.split("/")[-1].removesuffix(" <==") for line in lines[::2]), lines[1::2], strict=False))
    bad = [name for name in names if len(values.get(name, "")) < 32]
    if bad or len(set(values.values())) < len(names):
        raise ValueError(
            f"{directory}: {', '.join(bad) or 'two secrets are equal'}; remove a damaged file only if it was never used"
        )
    return values


@operation()
def registry_login(registry: str, username: str, password: str) -> Commands:
    """Keep a registry's login in root's Docker configuration (0600); other logins there are left alone.

    + registry: host[:port]; ``docker.io`` is kept under the name that Docker uses for it
    """
    key = "https://index.docker.io/v1/" if registry == "docker.io" else registry
    auth = base64.b64encode(f"{username}:{password}".encode()).decode()
    if host.get_fact(facts.RegistryLogins).get(key) == hashlib.sha256(auth.encode()).hexdigest()[:16]:
        host.noop(f"logged in to {registry}")
        return
    script = (
        "import json,os,sys\n"
        "p=os.path.expanduser('~/.docker/config.json'); os.makedirs(os.path.dirname(p),0o700,exist_ok=True)\n"
        "c=json.load(open(p)) if os.path.exists(p) else {}\n"
        "c.setdefault('auths',{}).update(json.load(sys.stdin))\n"
        "f=os.open(p+'.new',os.O_WRONLY|os.O_CREAT|os.O_TRUNC,0o600); os.write(f,json.dumps(c).encode()); os.close(f); os.replace(p+'.new',p)"
    )
    yield StringCommand("python3 -c", QuoteString(script), _stdin=[json.dumps({key: {"auth": auth}})])


@operation()
def pulled_images(references: Callable[[], list[str]]) -> Commands:
    """Have images on the host, each by digest, before anything that runs is touched.

    + references: gives the full references with digest once they are known
    """
    try:
        wanted = references()
    except NotYetKnown as reason:
        yield Failed(f"not known yet: {reason}")
        return
    present: list[str] = host.get_fact(facts.LocalImages, references=wanted)
    missing = sorted(set(wanted) - set(present))
    if not missing:
        host.noop(f"{len(set(wanted))} images are there")
    for reference in missing:
        yield StringCommand("docker pull --quiet", QuoteString(reference), _timeout=1800)


@operation()
def release_files(directory: Callable[[], str], content: Callable[[], Mapping[str, str]]) -> Commands:
    """Write a release's files beside the running one's, 0600 in a directory 0700, and check them before anybody uses them.

    + directory: gives the absolute path of the release's directory
    + content: gives ``{path below it: text}``; holds secrets, so it is asked for only when the turn has come
    """
    try:
        path, files = directory(), content()
    except NotYetKnown as reason:
        yield Failed(f"not known yet: {reason}")
        return
    present = host.get_fact(facts.FileDigests, directory=path)
    changed = {
        name: text
        for name, text in files.items()
        if present.get(name, "").split(" ")[:2] != [hashlib.sha256(text.encode()).hexdigest(), "600"]
    }
    if not changed:
        host.noop(f"{len(files)} files of {path} are as wanted")
        return
    for name, text in changed.items():
        yield _write(f"{path}/{name}", "600", text)
    yield StringCommand("docker compose --file", QuoteString(f"{path}/compose.yaml"), "config --quiet")


@operation()
def checked_caddyfile(path: str, content: str, image: Callable[[], str]) -> Commands:
    """Write a Caddyfile under a name that nobody reads yet, have Caddy itself check it, then give it its name.

    + path: absolute path on the host, named after the content
    + image: gives the reference of the Caddy image that will run it
    """
    directory, _, name = path.rpartition("/")
    found = host.get_fact(facts.FileDigests, directory=directory).get(name, "").split(" ")[0]
    if found == hashlib.sha256(content.encode()).hexdigest():
        host.noop(f"{path} is as wanted")
        return
    yield _write(f"{path}.candidate", "644", content)
    yield StringCommand(
        "docker run --rm --network none --volume", QuoteString(f"{path}.candidate:/etc/caddy/Caddyfile:ro"),
        QuoteString(image()), "caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile",
    )  # fmt: skip
    yield StringCommand("mv", QuoteString(f"{path}.candidate"), QuoteString(path))


@operation()
def sorted_again(container: str) -> Commands:
    """Indexes in the order of the C library that the database's image has now: it changes with a new base image, and queries would then
    miss rows. Visitors go on meanwhile.

    + container: name of the running Postgres container
    """
    found: dict[str, str] = host.get_fact(facts.OtherCollation, container=container)
    if not found:
        host.noop("every index has the order of this image")
        return
    run = StringCommand("docker exec", QuoteString(container))
    for database, versions in found.items():
        if executing():
            text = f"database {database}: its text was sorted by another version of the C library ({versions}); its indexes are made anew"
            logger.warning(f"{host.print_prefix}{text}")
        yield StringCommand(run, "reindexdb -U postgres --concurrently --dbname", QuoteString(database), _timeout=6 * 3600)
        sql = f'alter database "{database}" refresh collation version'
        yield StringCommand(run, "psql -U postgres -d", QuoteString(database), "-q -v ON_ERROR_STOP=1 -c", QuoteString(sql))


@operation()
def postgres_database(container: str, database: str, password: Callable[[], str]) -> Commands:
    """Have a role and a database of the same name, which the role owns; its password is the one that is given, also when that changed.

    + container: name of the running Postgres container
    + database: name of both; letters, digits and underscore
    + password: gives the role's password, letters and digits
    """
    stored: str | None = host.get_fact(facts.DatabaseRole, container=container, database=database)
    try:
        secret = password()
    except KeyError:  # made in this run: known when the turn has come
        secret = ""
    if stored is not None and (not secret or scram.matches(secret, stored)):
        host.noop(f"database {database} is there")
        return
    sql = [
        f"do $$ begin if not exists (select from pg_roles where rolname = '{database}') then create role {database} login; end if; end $$;",
        f"alter role {database} with login password '{secret if executing() else ''}';",
        f"select 'create database {database} owner {database}' where not exists (select from pg_database where datname = '{database}') \\gexec",
        f"revoke all on database {database} from public;",
    ]
    psql = "psql -U postgres -d postgres -q -v ON_ERROR_STOP=1"
    yield StringCommand("docker exec --interactive", QuoteString(container), psql, _stdin=sql)


MIGRATION_FAILED = (
    "The database was not marked as migrated. Server, worker, tenant manager and proxy were not touched; Postgres and both Redis were "
    "replaced before, if their part of the release differs."
)


def telling(log: str) -> list[str]:
    """Lines of a log that say what went wrong: the first ten that speak of it, and the last twelve. Pure."""
    lines = log.splitlines()
    speaking = [i for i, line in enumerate(lines) if re.search(r"(?i)error|fail|denied|refused|cannot|not exist|missing", line)]
    return [lines[i] for i in sorted({*speaking[:10], *range(max(0, len(lines) - 12), len(lines))})]


@operation()
def database_migrations(
    project: str, service: str, directory: Callable[[], str], image: Callable[[], str], database: str, timeout: int
) -> Commands:
    """Run an image's own migrations once, bounded in time, and mark the database with the image only if all are in.

    + service: one-off service of the release's compose file that migrates; its lines that begin with ``twentyops-migrate:`` are shown
    + directory: gives the release's directory
    + image: gives the reference that is to serve
    + timeout: seconds
    """
    postgres = f"{project}-postgres-1"
    try:
        image()
    except NotYetKnown as reason:
        yield Failed(f"not known yet: {reason}")
        return
    if host.get_fact(facts.DatabaseMark, container=postgres, database=database) == image():
        host.noop(f"migrations of {image()} are in")
        return

    def migrate() -> str | None:
        name = f"{project}-{service}"
        # a run whose control machine died may still be at work: two at once would hurt, so it is ended first
        remote(f"docker rm --force {name} > /dev/null 2>&1 || true")
        compose = f"docker compose --file {shlex.quote(directory() + '/compose.yaml')}"
        log = f"{HOME}/{service}.log"
        script = (
            f"set -o pipefail; umask 077; {compose} run --rm --no-deps --name {name} {service} 2>&1 | tee {log} "
            "| { grep --line-buffered ^twentyops-migrate: || :; }"
        )
        succeeded, output = remote(f"bash -c {shlex.quote(script)}", timeout=timeout, show=True)
        if not succeeded:
            remote(f"docker rm --force {name} > /dev/null 2>&1 || true")
            _, text = remote(f"tail -n 400 {log}")
            lines = "\n".join(f"    {line}" for line in [*telling(text), *output.splitlines()[-1:]])
            return f"The migrations of database {database} failed:\n{lines}\n{MIGRATION_FAILED} Whole log: {log}\nNext: docs/runbook/migration-failed.md"
        mark = f"comment on database {database} is '{image()}'"
        succeeded, output = remote(
            f"docker exec {postgres} psql -U postgres -d postgres -v ON_ERROR_STOP=1 -qc {shlex.quote(mark)}"
        )
        return None if succeeded else f"the migrated database {database} could not be marked: {output}"

    yield Step(migrate, f"migrate {database}")


@operation()
def compose_services(
    project: str,
    directory: Callable[[], str],
    wanted: Callable[[], Mapping[str, str]],
    services: tuple[str, ...],
    timeout: int = 180,
    previous: str = f"{HOME}/current",
) -> Commands:
    """Bring services of a Compose project to what a release's compose file says, and wait until they are healthy.

    Compared by config hash (the image digest is in it), state and health; only what differs is touched. Where a service does not become
    healthy, its last log lines are shown and the previous release is put back as a whole.

    + directory: gives the release's directory with ``compose.yaml``
    + wanted: gives ``{service: config hash}``, the label that each container must carry
    + services: brought up together
    + timeout: seconds until all of them are healthy
    + previous: directory of the release that ran before, if any
    """
    try:
        path, hashes = directory(), wanted()
    except NotYetKnown as reason:
        yield Failed(f"not known yet: {reason}")
        return
    running = host.get_fact(facts.ComposeServices, project=project)
    stale = sorted(
        s for s in services
        if (r := running.get(s)) is None or r["config_hash"] != hashes[s] or r["state"] != "running" or r["health"] != "healthy"
    )  # fmt: skip
    if not stale:
        host.noop(f"{', '.join(services)}: run as wanted and are healthy")
        return

    def bring_up() -> str | None:
        succeeded, output = remote(_up(path, stale, timeout), timeout=timeout + 120)
        if succeeded:
            return None
        return _describe_failure(project, path, stale, previous, output, timeout)

    yield Step(bring_up, f"bring up {', '.join(stale)}")


def _up(directory: str, services: list[str], timeout: int) -> str:
    """Shell command: bring services up and wait until Docker calls each of them healthy.

    Ends early where a container restarts again and again (three times since this command began; Docker counts from the container's making); ``compose up --wait`` would sit out the whole time, and fails for a service
    that has no health check.
    """
    compose = f"docker compose --file {shlex.quote(f'{directory}/compose.yaml')}"
    names = " ".join(services)
    # a run that was killed may have left its own at work on the host: two at once would take each other's containers away
    alone = f"flock --timeout {timeout} --conflict-exit-code 75 /run/lock/twentyops-compose"
    return (
        f"before=$(docker inspect --format '{{{{.Id}}}} {{{{.RestartCount}}}}' $({compose} ps --all --quiet {names}) 2> /dev/null | tr '\\n' ' '); "
        f"{alone} {compose} up --detach --no-deps --quiet-pull {names} 2>&1 || exit 1; "
        f"end=$(($(date +%s) + {timeout})); "
        f"while :; do "
        f"  states=$(docker inspect --format '{{{{.State.Status}}}} {{{{if .State.Health}}}}{{{{.State.Health.Status}}}}{{{{end}}}} "
        f"{{{{.RestartCount}}}} {{{{.Id}}}}' $({compose} ps --all --quiet {names})) || states=''; "
        f'  [ "$(echo "$states" | grep -c "^running healthy ")" = {len(services)} ] && exit 0; '
        f'  if echo "$states" | awk -v before="$before" \'BEGIN {{n = split(before, b); for (i = 1; i < n; i += 2) was[b[i]] = b[i + 1]}} '
        f"!/^running healthy / && $(NF - 1) - was[$NF] >= 3 {{exit 1}}'; then :; "
        f"else echo 'a container restarts again and again'; exit 1; fi; "
        f'  [ "$(date +%s)" -ge "$end" ] && {{ echo "not healthy after {timeout} s"; exit 1; }}; '
        f"  sleep 0.3; "
        f"done"
    )


def _describe_failure(project: str, path: str, services: list[str], previous: str, output: str, timeout: int) -> str:
    """Say which service failed and how, put back what ran before, and say what serves now."""
    state = host.get_fact(facts.ComposeServices, project=project)
    lines = []
    for service in services:
        found = state.get(service, {})
        if found.get("health") == "healthy":
            continue
        lines.append(
            f"{service}: {found.get('state', 'not created')}, {found.get('health') or 'no health yet'} after {timeout} s at most"
        )
        container = shlex.quote(found.get("id", ""))
        if found:
            _, check = remote(
                f"docker inspect --format '{{{{range .State.Health.Log}}}}{{{{.Output}}}}{{{{end}}}}' {container} | tail -n 3"
            )
            lines += [f"  health check: {line}" for line in check.splitlines() if line.strip()]
            _, logs = remote(f"docker logs --tail 20 {container} 2>&1")
            lines += [f"  {service} | {line}" for line in logs.splitlines()]
    said = output.splitlines()
    lines += [f"  compose | {line}" for line in (said[-20:] if not lines else [li for li in said if "rror" in li][-5:])]
    # all of them: earlier steps may have brought up the failed release's server already
    lines += put_back(path, list(SERVICES), previous, timeout)
    lines.append("Next: mend the cause and deploy again | make status | docs/runbook/service-unhealthy.md")
    return "\n".join(lines)


def _mark(database: str) -> str:
    """The image that a database was last migrated with; empty where that is not known."""
    psql = f"docker exec {PROJECT}-postgres-1 psql -U postgres -d postgres -tAc {shlex.quote(facts.mark_query(database))}"
    known, text = remote(f"{psql} 2> /dev/null")
    return text.strip() if known else ""


OF_THE_RELEASE_BEFORE = re.compile(r"Release \S+ (was|could not be) put back|No earlier release to go back to")
"""How the line of ``put_back`` begins, in the message of a failure."""


def put_back(path: str, services: list[str], previous: str = f"{HOME}/current", timeout: int = 180) -> list[str]:
    """Bring services back to the release that ran before, and say in lines how that went; the database stays as it is.

    + path: directory of the release that failed
    + previous: link to the one before
    """
    _, current = remote(f"readlink -f {previous} || true")
    current = current.strip()
    if not current or current == path or not remote(f"test -f {shlex.quote(current)}/compose.yaml")[0]:
        return ["No earlier release to go back to; the other services were left as they are."]
    release = current.rpartition("/")[2]
    # an earlier release may know fewer services than this one
    readable, known = remote(f"docker compose --file {shlex.quote(current)}/compose.yaml config --services")
    there = [name for name in services if name in known.split()] if readable else services
    restored, text = remote(_up(current, there, timeout), timeout=timeout + 120)
    if restored:
        _, manifest = remote(f"cat {shlex.quote(current)}/release.json")
        before = Manifest.from_json(manifest)
        migrated = before is not None and any(_mark(d.name) not in ("", before.images.get(d.serves)) for d in DATABASES)
        stays = " The database stays as the new release migrated it." if migrated else ""
        return [f"Release {release} was put back and serves again. Nothing was lost.{stays}"]
    return [f"Release {release} could not be put back: {text[-500:]}"]


@operation()
def applied_data_model(container: str, model: str, directory: Callable[[], str], timeout: int) -> Commands:
    """Have the data model in every workspace, proved; a workspace that does not match fails the deploy and puts back the release before.

    + container: Twenty's server, whose image carries the model
    + model: first 12 hex digits of the sha256 of the model that this release carries
    + directory: gives the release's directory
    + timeout: seconds for all workspaces together
    """
    state = host.get_fact(facts.DataModelState, container=container)
    # a run at the server's start that failed is on record until an apply: status and smoke suite go by that line
    failed = str(state.get("outcome", "")).startswith("failed")
    if state.get("matched") is True and state.get("model") == model and not failed:
        host.noop(f"{len(state['workspaces'])} workspaces match the data model {model}")
        return

    def apply() -> str | None:
        command = f"docker exec {shlex.quote(container)} node scripts/migrate-schema.ts apply --wait 60 2>&1"
        succeeded, output = remote(command, timeout=timeout, show=True)
        if succeeded:
            return None
        return "\n".join(
            [
                "The data model is not in every workspace:",
                *(f"  {line}" for line in output.splitlines()[-60:]),
                *put_back(directory(), list(SERVICES)),
                "Next: docs/runbook/data-model.md",
            ]
        )

    yield Step(apply, f"apply the data model {model}")


@operation()
def control_step(function: Callable[[], str | None], description: str) -> Commands:
    """Work of the deploy itself that changes nothing a person would call state (lock, checks, tunnels): counted as no change.

    + function: run when the turn has come; a returned text is the reason why it failed
    + description: what it did, for ``-v``
    """
    if not executing():
        return
    problem = function()
    if problem is not None:
        yield Failed(problem)
    host.noop(description)


@operation()
def control_change(wanted: bool, function: Callable[[], str | None]) -> Commands:
    """Work of the control machine that does change something (build, push).

    + wanted: whether it is needed, known from the plan
    + function: run when the turn has come; a returned text is the reason why it failed
    """
    if not wanted:
        host.noop("not needed")
        return
    yield Step(function, "control change")


@operation()
def release_record(directory: Callable[[], str], manifest: Callable[[], Manifest], keep: int) -> Commands:
    """Write the manifest, point ``current`` at the release, append the audit line, drop releases beyond ``keep`` with their images.

    + directory: gives the release's directory
    + manifest: gives what to record; time and person are kept from the first deploy of the same release
    + keep: how many releases stay, the running one included
    """
    try:
        path, wanted = directory(), manifest()
    except NotYetKnown as reason:
        yield Failed(f"not known yet: {reason}")
        return
    found = Manifest.from_json(host.get_fact(facts.ReleaseManifest))
    unchanged = found is not None and replace(found, deployed_at=wanted.deployed_at, deployed_by=wanted.deployed_by) == wanted
    if executing():
        line = f"{wanted.deployed_at} {wanted.deployed_by} release={wanted.id} {'unchanged' if unchanged else 'deployed'} tool={wanted.tool_version}"
        remote(f"umask 077; cat >> {HOME}/audit.log", stdin=line)
    if unchanged:
        host.noop(f"release {wanted.id} is recorded")
        return
    yield _write(f"{path}/release.json", "644", wanted.to_json())
    yield StringCommand("ln -sfn", QuoteString(path), f"{HOME}/current.new", "&&", f"mv -T {HOME}/current.new {HOME}/current")
    yield Step(lambda: prune.releases(remote, keep), "former releases")


@operation()
def repaired_packages() -> Commands:
    """Finish what a killed run left half installed; apt refuses everything else until then."""
    if not host.get_fact(facts.InterruptedPackages):
        host.noop("nothing was interrupted")
        return
    # apt waits for whoever is still at work (an upgrade, or apt of a deploy whose control machine died) and then tells whether
    # anything was interrupted; dpkg itself does not wait
    mend = noninteractive_apt("install --fix-broken")
    configure = "DEBIAN_FRONTEND=noninteractive dpkg --force-confold --configure --pending"
    yield StringCommand(f"{mend} || {{ {configure} && {mend}; }}", _timeout=1200)


UPDATE_LISTS = (
    "export LC_ALL=C; end=$(($(date +%s) + 300)); until out=$(apt-get -q update 2>&1); do "
    'echo "$out" | grep -q "Could not get lock" && [ "$(date +%s)" -lt "$end" ] || { echo "$out" >&2; exit 1; }; sleep 1; done'
)
"""apt waits for other packages' work, but not for another update of the lists, which a new server makes after its first boot."""


@operation()
def installed_packages(packages: tuple[str, ...]) -> Commands:
    """Have packages; the lists are renewed only when one is missing (pyinfra's own operation renews them on a timer).

    + packages: names; an installed one is never upgraded here: that is for unattended upgrades
    """
    present: list[str] = host.get_fact(facts.InstalledPackages, packages=list(packages))
    missing = sorted(set(packages) - set(present))
    if not missing:
        host.noop(f"{len(packages)} packages are installed")
        return
    yield StringCommand("sh -c", QuoteString(UPDATE_LISTS), _timeout=600)
    yield StringCommand(noninteractive_apt("install --no-install-recommends"), *missing, _timeout=1200)


# apt believes every key of such a file: there must be one, and it must be the one that is meant
APT_KEY = """set -eu
mkdir -p "${2%/*}"
new=$(mktemp "$2.XXXXXX")
home=$(mktemp -d)
trap 'rm -rf "$new" "$home"' EXIT
curl -fsSL "$1" -o "$new"
found=$(gpg --homedir "$home" --batch --no-options --no-autostart --show-keys --with-colons "$new" | awk -F: '$1 == "pub" { primary = 1 } $1 == "fpr" && primary { print $10; primary = 0 }')
if [ "$found" != "$3" ]; then
    echo "the key at $1 has the fingerprint ${found:-(none)}, not $3: nothing was installed. Set DOCKER_APT_URL to Docker's repository or an exact mirror of it, or compare the fingerprint with the one that Docker publishes" >&2
    exit 1
fi
chmod 644 "$new"
mv "$new" "$2"
"""


@operation()
def apt_sources(files: dict[str, str], key_url: str = "") -> Commands:
    """Have apt source and preference files, and Docker's signing key.

    + files: ``{path below /etc/apt: text}``
    + key_url: the key goes to ``distributions.DOCKER_KEYRING``, once, and only if it is the one key that is known by its fingerprint
    """
    present = host.get_fact(facts.FileDigests, directory="/etc/apt")
    changed = False
    if key_url and distributions.DOCKER_KEYRING.removeprefix("/etc/apt/") not in present:
        changed = True
        arguments = map(QuoteString, (key_url, distributions.DOCKER_KEYRING, distributions.DOCKER_KEY))
        yield StringCommand("sh -c", QuoteString(APT_KEY), "sh", *arguments)
    for name, text in files.items():
        if present.get(name, "").split(" ")[0] != hashlib.sha256(text.encode()).hexdigest():
            changed = True
            yield _write(f"/etc/apt/{name}", "644", text)
    if not changed:
        host.noop("apt knows where Docker comes from")


@operation()
def docker_daemon(wanted: dict[str, Any]) -> Commands:
    """Run dockerd with a configuration: checked by dockerd itself before it lies there, restarted only when it changed.

    + wanted: our keys of daemon.json, the operator's others stay; what was last started with is remembered, so that a run killed before
      the restart is made good
    """
    found = host.get_fact(facts.DockerDaemon)
    config = daemon.merged(found.get("text", ""), wanted)
    digest = hashlib.sha256(config.encode()).hexdigest()
    if [found.get(name) for name in ("file", "started_with", "active")] == [digest, digest, "active"]:
        host.noop("dockerd runs as wanted")
        return
    yield _write("/etc/docker/daemon.json.candidate", "644", config)
    yield StringCommand("dockerd --validate --config-file /etc/docker/daemon.json.candidate")
    yield StringCommand("mv -f /etc/docker/daemon.json.candidate /etc/docker/daemon.json")
    yield StringCommand("systemctl enable --quiet docker && systemctl restart docker", _timeout=180)
    yield _write("/var/lib/twentyops/docker-started-with", "644", digest + "\n")


@operation()
def packet_filter(files: dict[str, str]) -> Commands:
    """Load nftables tables of ours, now and at every boot before Docker; each file is checked by nft itself before it lies there.

    + files: ``{name below firewall.DIRECTORY: text}``; each makes one table and replaces it as a whole
    """
    lying = {
        **{f"{firewall.DIRECTORY}/{name}": text for name, text in files.items()},
        firewall.ENTRY: firewall.entry(files),
        f"/etc/systemd/system/{firewall.UNIT}": firewall.unit(files),
        "/etc/systemd/system/docker.service.d/twentyops.conf": firewall.DOCKER_DROP_IN,
    }
    state = host.get_fact(facts.PacketFilter, paths=sorted(lying), unit=firewall.UNIT, loaded=firewall.LOADED)
    present: dict[str, str] = state.get("files", {})
    missing = [path for path, text in lying.items() if present.get(path) != hashlib.sha256(text.encode()).hexdigest()]
    wanted = hashlib.sha256("".join(text for _, text in sorted(files.items())).encode()).hexdigest()
    loaded = state.get("loaded") == wanted and set(firewall.tables(files)) <= set(state.get("tables", []))
    runs = (state.get("active"), state.get("enabled")) == ("active", "enabled")
    if not missing and loaded and runs:
        host.noop(f"{len(files)} tables are loaded")
        return
    for path in missing:
        if not path.endswith(".nft") or path == firewall.ENTRY:
            yield _write(path, "644", lying[path])
            continue
        yield _write(f"{path}.candidate", "644", lying[path])
        yield StringCommand("nft --check --file", QuoteString(f"{path}.candidate"))
        yield StringCommand("mv -f", QuoteString(f"{path}.candidate"), QuoteString(path))
    # never restarted: Docker requires the unit and would go down with it; a table is replaced in one transaction
    yield StringCommand(
        f"systemctl daemon-reload && systemctl enable --quiet {firewall.UNIT} && systemctl reload-or-restart {firewall.UNIT}"
    )


@operation()
def volume_handover(project: str, service: str, volume: str, owner: int, directory: Callable[[], str]) -> Commands:
    """Have a volume that its container's user owns, filled once by a one-off service; where it has that owner it is left alone.

    + service: one-off service of the release's compose file, which gives the volume's top its owner last
    + volume: name of the volume without the project's
    + owner: number of the user
    + directory: gives the release's directory
    """
    if host.get_fact(facts.VolumeOwner, volume=f"{project}_{volume}") == str(owner):
        host.noop(f"volume {volume} belongs to {owner}")
        return
    try:
        path = directory()
    except NotYetKnown as reason:
        yield Failed(f"not known yet: {reason}")
        return
    name = f"{project}-{service}"
    # one that a killed run left behind is in the way, and may be at work
    yield StringCommand(
        f"docker rm --force {name} > /dev/null 2>&1; docker compose --file", QuoteString(f"{path}/compose.yaml"),
        f"run --rm --no-deps --quiet-pull --name {name} {service}",
    )  # fmt: skip


@operation()
def swap_file(path: str, size_mb: int) -> Commands:
    """Have a swap file in use now and after a restart; an existing swap of any kind is enough.

    + path: absolute path
    + size_mb: MB of 1024^2 bytes
    """
    if host.get_fact(facts.Swaps):
        host.noop("the host has swap")
        return
    make = (
        'set -e; umask 077; rm -f "$1.new"; fallocate -l "$2M" "$1.new" || dd if=/dev/zero of="$1.new" bs=1M count="$2" status=none; '
        'mkswap "$1.new" > /dev/null; mv -f "$1.new" "$1"; swapon "$1"; '
        'grep -qs "^$1 " /etc/fstab || echo "$1 none swap sw 0 0" >> /etc/fstab'
    )
    yield StringCommand("sh -c", QuoteString(make), "sh", QuoteString(path), str(size_mb), _timeout=600)
