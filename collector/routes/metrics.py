"""GET /metrics, for Prometheus: of all worker processes together where there are several."""

from litestar import Response, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from collector.metrics import registry


@get("/metrics", tags=["health"], summary="Metrics")
async def metrics() -> Response[bytes]:
    """Every metric in Prometheus' text format."""
    return Response(generate_latest(registry()), media_type=CONTENT_TYPE_LATEST)
