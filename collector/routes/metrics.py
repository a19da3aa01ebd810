"""GET /metrics, for Prometheus: of all worker processes together where there are several."""

import os
from pathlib import Path

from litestar import Response, get
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from collector.embedded.processes import alive


@get("/metrics", tags=["health"], summary="Metrics")
async def metrics() -> Response[bytes]:
    """Every metric in Prometheus' text format."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        _forget_dead_workers(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _forget_dead_workers(folder: Path) -> None:
    """Gauges of a worker that was killed would count for ever what it had under way."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not alive(pid):
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
