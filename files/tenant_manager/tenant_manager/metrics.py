"""What Prometheus reads on the internal port."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
WEBHOOKS = Counter("tenant_manager_webhooks", "Requests to the webhook by what came of them.", ["result"], registry=REGISTRY)
ACCEPTING = Histogram(
    "tenant_manager_webhook_seconds", "Seconds from request to commit.", registry=REGISTRY,
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)  # fmt: skip
CONVERGED = Counter("tenant_manager_convergences", "Convergences that succeeded.", registry=REGISTRY)
FAILURES = Counter("tenant_manager_failures", "Attempts that failed, by kind.", ["kind"], registry=REGISTRY)
CONVERGENCE = Histogram(
    "tenant_manager_convergence_seconds", "Seconds of a convergence.", registry=REGISTRY, buckets=(0.05, 0.1, 0.5, 1, 5, 15, 60)
)
EVENTS = Gauge("tenant_manager_events", "Events by state.", ["state"], registry=REGISTRY)
OLDEST = Gauge("tenant_manager_oldest_waiting_seconds", "Age of the oldest event that waits.", registry=REGISTRY)
TENANTS = Gauge("tenant_manager_tenants", "Tenants by state.", ["state"], registry=REGISTRY)
STOPPED = Gauge(
    "tenant_manager_reconciliation_stopped", "1 when the last reconciliation stopped at its threshold.", registry=REGISTRY
)
