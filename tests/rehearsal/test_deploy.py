"""The main job: a first deploy, a second one that changes nothing, and every way in which a person may call a part of it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import command
from tests import ssh_keys
from tests.rehearsal import driver, secrets
from tests.rehearsal.conftest import BareDroplet, Deployed, standin_copy
from twentyops import access, stack

TASKS = sorted(file.stem for file in (driver.PROJECT / "tasks").glob("*.py") if file.stem != "__init__")


def test_first_deploy_ends_with_a_stack_that_answers(deployed: Deployed) -> None:
    run = deployed.first
    assert run.exit_code == 0, str(run)
    changed, failed, _ = run.counts
    assert failed == 0
    assert changed > 15 or not deployed.was_bare
    with urllib.request.urlopen(f"http://{deployed.droplet.address}/healthz", timeout=10) as answer:
        assert (answer.status, json.load(answer)["status"]) == (200, "ok")
    assert len(driver.containers(deployed.droplet)) == len(stack.SERVICES)
    assert driver.manifest(deployed.droplet)["public_url"] == f"http://{deployed.droplet.address}"
    assert driver.lock(deployed.droplet) == ""


def test_second_deploy_changes_nothing(deployed: Deployed) -> None:
    before = driver.containers(deployed.droplet), driver.manifest(deployed.droplet)
    run = deployed.target.run()
    assert run.exit_code == 0, str(run)
    assert run.counts[:2] == (0, 0), str(run)
    assert (driver.containers(deployed.droplet), driver.manifest(deployed.droplet)) == before


def test_deploy_with_a_key_that_the_agent_opened(deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyinfra and, in the smoke suite, OpenSSH: the file has a passphrase that nobody types."""
    key = ssh_keys.make_key(tmp_path, "a secret word")
    deployed.droplet.ssh(
        "cp -p /root/.ssh/authorized_keys /root/authorized && cat >> /root/.ssh/authorized_keys",
        input=f"{ssh_keys.public(key)}\n",
    )
    try:
        with ssh_keys.agent(tmp_path) as socket:
            ssh_keys.add(socket, key, "a secret word")
            monkeypatch.setenv("SSH_AUTH_SOCK", socket)
            run = deployed.target.having(DROPLET_SSH_KEY=str(key)).run()
    finally:
        deployed.droplet.ssh("mv /root/authorized /root/.ssh/authorized_keys")
    assert run.exit_code == 0, str(run)
    assert run.counts[:2] == (0, 0), str(run)


def test_deploy_by_an_alias_through_a_jump_host(deployed: Deployed, bare: BareDroplet, tmp_path: Path) -> None:
    """Address, key and the machine in between stand in the operator's ~/.ssh/config alone; pyinfra and the smoke suite take that way."""
    jump, lab = bare("jump").droplet, deployed.target.lab
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / ".ssh/config").write_text(
        f"Host crm\n  HostName {deployed.droplet.address}\n  ProxyJump jump\n"
        f"Host jump\n  HostName {jump.address}\n  User root\n  UserKnownHostsFile {lab.known_hosts}\n"
        f"Host crm jump\n  IdentityFile {lab.ssh_key}\n"
    )
    left_out = dict.fromkeys(("DROPLET_SSH_USER", "DROPLET_SSH_PORT", "DROPLET_SSH_KEY"))
    run = deployed.target.having(DROPLET_HOST="crm", **left_out).run(HOME=str(tmp_path))
    assert run.exit_code == 0, str(run)
    assert run.counts[:2] == (0, 0), str(run)
    way = f"journalctl --unit ssh --grep 'Accepted publickey for root from {jump.address} ' --output cat"
    came = deployed.droplet.ssh(way).stdout.splitlines()
    # OpenSSH of the smoke suite may have shared a connection of the deploy before, which lasts 30 s
    assert came, "nobody came through the machine in between"


@pytest.fixture
def ipv6_address(deployed: Deployed) -> Iterator[str]:
    """An IPv6 address of the droplet that this machine reaches, for the time of a test."""
    bridge, near, far = deployed.target.lab.network.bridge, "fd77:1::1", "fd77:1::10"
    switch = Path(f"/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6")
    switch.write_text("0\n")
    command.run("ip", "-6", "address", "replace", f"{near}/64", "dev", bridge, "nodad")
    on = f"sysctl -qw net.ipv6.conf.host0.disable_ipv6=0 && ip -6 address replace {far}/64 dev host0 nodad"
    deployed.droplet.ssh(on)
    yield far
    deployed.droplet.ssh(f"ip -6 address del {far}/64 dev host0")
    command.run("ip", "-6", "address", "del", f"{near}/64", "dev", bridge)
    switch.write_text("1\n")


def test_droplet_of_an_ipv6_address(deployed: Deployed, ipv6_address: str) -> None:
    """Deployed, smoke suite and all, by an address with colons, under which visitors find it too; then as before."""
    url = f"http://[{ipv6_address}]"
    target = deployed.target.having(DROPLET_HOST=ipv6_address, SERVER_URL=None, CLERK_WEBHOOK_URL=None)
    try:
        first = target.run()
        assert first.exit_code == 0, str(first)
        assert f"[{ipv6_address}] Connected" in first.text
        assert driver.manifest(deployed.droplet)["public_url"] == url
        with urllib.request.urlopen(f"http://[{ipv6_address}]/healthz", timeout=10) as answer:
            assert json.load(answer)["status"] == "ok"
        status = target.ops("status")
        assert (status.exit_code, url in status.stdout) == (0, True), str(status)
        again = target.run()
        assert (again.exit_code, again.counts[:2]) == (0, (0, 0)), str(again)
    finally:
        back = deployed.target.run()
    assert back.exit_code == 0, str(back)


def test_dry_run_changes_nothing_on_a_host_without_docker(deployed: Deployed, bare: BareDroplet) -> None:
    target = bare("dry")
    before = driver.fingerprint(target.droplet)
    assert "/usr/bin/docker" not in target.droplet.ssh("command -v docker; true").stdout
    run = target.run("deploy.py", "--dry")
    assert run.exit_code == 0, str(run)
    assert "Services | Run server" in run.text, str(run)
    assert driver.fingerprint(target.droplet) == before


def test_plan_of_a_deployed_host_is_empty(deployed: Deployed) -> None:
    run = deployed.target.run("deploy.py", "--dry", "--json")
    assert run.exit_code == 0, str(run)
    plan = json.loads(run.stdout)["plan"]
    assert len(plan) > 30
    assert [operation["name"] for operation in plan if operation["hosts_with_change"]] == []


@pytest.mark.parametrize(
    ("limit", "there", "absent"), [("droplet", "Services | ", "Image | Build"), ("builder", "Image | ", "Services | ")]
)
def test_limit_runs_one_side_alone(deployed: Deployed, limit: str, there: str, absent: str) -> None:
    run = deployed.target.run("deploy.py", "-y", "--limit", limit)
    assert run.exit_code == 0, str(run)
    assert run.counts[:2] == (0, 0), str(run)
    names = "\n".join(run.operations)
    assert there in names
    assert absent not in names


def test_verbose_run_says_what_is_there_already(deployed: Deployed) -> None:
    run = deployed.target.run("tasks/services.py", "-y", "-v", "--limit", "droplet")
    assert run.exit_code == 0, str(run)
    assert "server: run as wanted and are healthy" in run.text


def test_json_output_is_json_and_agrees_with_the_plan(deployed: Deployed) -> None:
    run = deployed.target.run("deploy.py", "-y", "--json")
    assert run.exit_code == 0, str(run)
    answer = json.loads(run.stdout)
    operations = answer["results"]["operations"]
    assert len(operations) == len(answer["plan"])
    assert [o["name"] for o in operations if o["success"] or o["error"]] == []
    assert {host for o in operations for host in o["no_change"]} == {
        deployed.droplet.address,
        deployed.target.lab.builder.address,
    }


@pytest.mark.parametrize("task", TASKS)
def test_task_runs_alone(deployed: Deployed, task: str) -> None:
    before = driver.containers(deployed.droplet), driver.manifest(deployed.droplet)
    run = deployed.target.run(f"tasks/{task}.py", "-y")
    assert run.exit_code == 0, str(run)
    assert run.counts[:2] == (0, 0), str(run)
    # preflight only looks: no operation
    assert (run.operations == []) == (task == "preflight")
    assert (driver.containers(deployed.droplet), driver.manifest(deployed.droplet)) == before
    assert driver.lock(deployed.droplet) == ""


AWKWARD = [
    "it's",
    "'",
    '"',
    "\\",
    "a'b\"c$d\\e`f",
    "$HOME ${HOME} $$",
    "# no comment",
    " both ends ",
    "tab\tend",
    "line\\nbreak",
    "ü…",
    "{'a': \"b\"}",
    "'\\'$'",
]


def test_values_reach_a_container_to_the_byte(deployed: Deployed) -> None:
    """Compose reads an env file by rules of its own; what the templates write must come out of them as it went in."""
    lines = "".join(stack.env_line(f"VALUE_{i}", value) for i, value in enumerate(AWKWARD))
    project = {
        "services": {
            "x": {"image": driver.manifest(deployed.droplet)["images"]["redis"], "env_file": "x.env", "network_mode": "none"}
        }
    }
    deployed.droplet.ssh("mkdir -p /root/awkward && cat > /root/awkward/x.env", input=lines)
    deployed.droplet.ssh("cat > /root/awkward/compose.yaml", input=json.dumps(project))
    shown = deployed.droplet.ssh("cd /root/awkward && docker compose run --rm -T --entrypoint env x -0").stdout
    deployed.droplet.ssh("rm -r /root/awkward")
    found = dict(pair.partition("=")[::2] for pair in shown.split("\0") if pair)
    assert [found[f"VALUE_{i}"] for i in range(len(AWKWARD))] == AWKWARD


def test_status_tells_release_and_services(deployed: Deployed) -> None:
    run = deployed.target.ops("status")
    assert run.exit_code == 0, str(run)
    assert f"release {driver.manifest(deployed.droplet)['id']}" in run.text
    assert run.text.count("running, healthy") == len(stack.SERVICES)
    assert "locked by" not in run.text
    assert run.stderr == ""
    assert run.stdout.startswith("debian 13, "), "something but the result was printed"


def test_unlock_without_a_lock_says_so(deployed: Deployed) -> None:
    run = deployed.target.ops("unlock")
    assert run.exit_code == 0, str(run)
    assert run.stdout == "there was no lock\n"


def test_logs_show_what_containers_say_and_no_secret(deployed: Deployed) -> None:
    known = secrets.control_machine_secrets(deployed.target)["CLERK_SECRET_KEY"]
    made = secrets.droplet_secrets(deployed.droplet)["generated app_secret"]
    said = f"postgres://x:{made}@y and {known} end"
    deployed.droplet.ssh(f"docker exec -i {stack.PROJECT}-caddy-1 sh -c 'cat > /proc/1/fd/2'", input=said + "\n")
    try:
        run = deployed.target.ops("logs", "caddy", "server", "--since", "1m")
    finally:  # what was planted is not found by the tests that look for secrets in logs
        deployed.droplet.ssh(f"truncate --size 0 $(docker inspect --format '{{{{.LogPath}}}}' {stack.PROJECT}-caddy-1)")
    assert run.exit_code == 0, str(run)
    assert f"postgres://x:{access.MASK}@y and {access.MASK} end" in run.text
    assert secrets.shown({"key": known, "app_secret": made}, [run.stdout, run.stderr]) == {}
    assert "caddy-1" in run.stdout
    assert "worker-1" not in run.stdout


def test_console_gives_the_commands_exit_code_and_stands_in_the_audit_log(deployed: Deployed) -> None:
    run = deployed.target.ops("console", "--psql", "twenty", "--", "-Atc", "select current_database() || ' is it'")
    assert (run.exit_code, run.stdout) == (0, "twenty is it\n"), str(run)
    assert deployed.target.ops("console", "worker", "--", "sh", "-c", "exit 7").exit_code == 7
    *_, first, second = deployed.droplet.ssh("cat /opt/twenty/audit.log").stdout.splitlines()
    assert "console in postgres: psql" in first
    assert second.endswith("console in worker: sh -c 'exit 7'")


def test_status_names_what_is_stopped_or_open_and_a_deploy_mends_it(deployed: Deployed) -> None:
    before = driver.inspect(deployed.droplet)
    deployed.droplet.ssh("docker stop --time 1 twenty-worker-1 && nft delete table inet twentyops_egress")
    run = deployed.target.ops("status")
    assert run.exit_code == 1, str(run)
    assert "not healthy: worker" in run.text
    assert "packet filter: table inet twentyops_egress is not loaded" in run.text
    assert "inet twentyops_inbound" not in run.text
    run = deployed.target.run()
    assert run.exit_code == 0, str(run)
    assert run.counts[:2] == (2, 0), str(run)
    after = driver.inspect(deployed.droplet)
    assert {name: c["Id"] for name, c in after.items()} == {name: c["Id"] for name, c in before.items()}


def test_database_password_whose_file_is_lost_is_set_anew(deployed: Deployed) -> None:
    before = driver.manifest(deployed.droplet)
    deployed.droplet.ssh(f"rm /opt/twenty/secrets/{stack.TWENTY.secret}")
    run = deployed.target.run()
    assert run.exit_code == 0, str(run)
    again = deployed.target.run()
    assert (again.exit_code, again.counts[:2]) == (0, (0, 0)), str(again)
    assert driver.manifest(deployed.droplet)["images"] == before["images"]


def test_indexes_are_made_anew_for_another_version_of_the_c_library(deployed: Deployed) -> None:
    """What a new base image brings: CREATE DATABASE fails then, and queries by index miss rows."""
    psql = "docker exec twenty-postgres-1 psql -U postgres -d postgres -tAc"
    droplet, before = deployed.droplet, driver.containers(deployed.droplet)
    of_another_image = "update pg_database set datcollversion = '2.10' where datname in ('template1', 'twenty')"
    droplet.ssh(f'{psql} "{of_another_image}"')
    assert droplet.ssh(f"{psql} 'create database trial'", check=False).returncode != 0
    run = deployed.target.run()
    assert run.exit_code == 0, str(run)
    assert run.counts[:2] == (1, 0), str(run)
    assert "database twenty: its text was sorted by another version of the C library (2.10 -> " in run.text, str(run)
    droplet.ssh(f"{psql} 'create database trial' && {psql} 'drop database trial'")
    again = deployed.target.run()
    assert (again.exit_code, again.counts[:2]) == (0, (0, 0)), str(again)
    assert driver.containers(droplet) == before


def test_port_that_another_container_publishes_is_refused_with_its_name(deployed: Deployed) -> None:
    droplet = deployed.droplet
    droplet.ssh("docker run --detach --name blog --publish 8080:80 $(docker inspect --format '{{.Image}}' twenty-caddy-1)")
    try:
        target = deployed.target.having(SERVER_URL=f"http://{droplet.address}:8080", CLERK_WEBHOOK_URL=None)
        before = driver.containers(droplet)
        run = target.run()
        assert run.exit_code == 1, str(run)
        assert "port 8080 is taken by the container blog" in run.text
        assert "Starting operation" not in run.text
        assert driver.containers(droplet) == before
    finally:
        droplet.ssh("docker rm --force --volumes blog")


def test_builder_that_forwards_no_socket_is_refused_before_the_build(deployed: Deployed, tmp_path: Path) -> None:
    drop_in = "/etc/ssh/sshd_config.d/00-closed.conf"
    deployed.builder.ssh(f"echo 'AllowStreamLocalForwarding no' > {drop_in}; systemctl reload ssh")
    try:
        run = deployed.target.having(TWENTY_SOURCE=str(standin_copy(tmp_path, "not pushed"))).run()
    finally:
        deployed.builder.ssh(f"rm {drop_in}; systemctl reload ssh")
    assert run.exit_code == 1, str(run)
    assert "sshd on the builder forwards no sockets" in run.text, str(run)
    assert not any("Build " in name for name in run.operations), str(run)
    assert driver.lock(deployed.droplet) == ""


def test_a_long_path_to_temporary_files_is_no_hindrance(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ("x" * 90)
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    run = deployed.target.having(TWENTY_SOURCE=str(standin_copy(tmp_path, "a long path"))).run()
    assert run.exit_code == 0, str(run)
    back = deployed.target.run()
    assert back.exit_code == 0, str(back)


def test_smoke_suite_runs_alone(deployed: Deployed) -> None:
    lab = deployed.target.lab
    run = driver.smoke(f"--hosts=ssh://root@{deployed.droplet.address}", f"--ssh-config={lab.ssh_config}")
    assert run.exit_code == 0, str(run)
    assert " passed" in run.text
    assert "skipped" not in run.text


def test_smoke_suite_without_a_host_is_an_error() -> None:
    run = driver.smoke()
    assert run.exit_code == pytest.ExitCode.USAGE_ERROR, str(run)
    assert "pytest tests/smoke --hosts=ssh://root@HOST" in run.text


def test_smoke_suite_against_a_bare_host_fails(deployed: Deployed, bare: BareDroplet) -> None:
    droplet = bare("nothing").droplet
    run = driver.smoke(f"--hosts=ssh://root@{droplet.address}", f"--ssh-config={deployed.target.lab.ssh_config}")
    assert run.exit_code == pytest.ExitCode.TESTS_FAILED, str(run)
    assert " passed" not in run.text.splitlines()[-1], str(run)


@pytest.mark.parametrize(
    ("inventory", "arguments", "says"),
    [
        ("inventory.py", ("--limit", "nosuch"), "leave no host"),
        ("inventory.py", ("--limit", "nosuch", "--json"), "leave no host"),
        ("inventory.py", ("--exclude", "droplet", "--exclude", "builder"), "leave no host"),
        ("inventori.py", (), "The inventory is empty"),
        ("@local", (), "neither droplet nor builder"),
    ],
)
def test_run_that_would_reach_nobody_is_refused(
    deployed: Deployed, inventory: str, arguments: tuple[str, ...], says: str
) -> None:
    run = deployed.target.run("deploy.py", "-y", *arguments, inventory=inventory)
    assert run.exit_code == 1, str(run)
    assert says in run.text
    assert "Nothing was changed" in run.text
