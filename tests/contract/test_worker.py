"""The worker: connected to its queues, consuming a job, cron jobs registered."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.contract.conftest import Target
from tests.contract.native import Services, Standin, built_tree, ensure_node

PROBE = Path(__file__).with_name("probe_job.js")
QUEUE = "cron-queue"
"""One that the real worker consumes: upstream has names of queues without a consumer (task-assigned-queue)."""


def run_probe(redis_url: str, tree: Path, node: Path, queue: str = QUEUE) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "REDIS_URL": redis_url, "NODE_PATH": str(tree / "node_modules")}
    return subprocess.run([node / "node", PROBE, queue, "20"], env=env, capture_output=True, text=True, timeout=60)


def test_worker_consumes_a_job(target: Target) -> None:
    """Added by BullMQ under its default prefix, as the server adds its own; a name without a handler counts as done."""
    if target.redis_url is None:
        pytest.skip("needs the server's Redis: give --twenty-redis-url")
    node = ensure_node()
    done = run_probe(target.redis_url, built_tree(node), node)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("completed")


def test_probe_fails_where_no_worker_runs(local_services: Services) -> None:
    """The same probe against a Redis without a worker: the test above can fail."""
    with local_services.standin("no-worker") as standin:
        done = subprocess.run(
            ["node", PROBE, QUEUE, "1"],
            env=standin.env(NODE_PATH=str(standin.tree / "node_modules")), capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert done.returncode == 1
    assert "waiting" in done.stderr


def cron_jobs(standin: Standin) -> dict[str, str]:
    script = (
        "const {Queue}=require('bullmq');const IORedis=require('ioredis');"
        "const c=new IORedis(process.env.REDIS_QUEUE_URL??process.env.REDIS_URL,{maxRetriesPerRequest:null});"
        "const q=new Queue('cron-queue',{connection:c});"
        "q.getJobSchedulers().then(async(s)=>{s.forEach((x)=>console.log(x.name,x.pattern));"
        "await q.close();c.quit();});"
    )
    done = standin.run("node", "-e", script)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_cron_jobs_are_registered_once_each(local_services: Services) -> None:
    with local_services.standin("cron", migrated=True) as standin:
        for _ in range(2):
            done = standin.run("node", "dist/src/command/command", "cron:register:all")
            assert done.returncode == 0, done.stderr
        assert cron_jobs(standin) == {"CronTriggerCronJob": "* * * * *", "TrashCleanupCronJob": "10 0 * * *"}


def test_worker_ends_by_sigterm(local_services: Services) -> None:
    with local_services.standin("worker-end", migrated=True) as standin:
        assert standin.start_worker().stop() == 0
