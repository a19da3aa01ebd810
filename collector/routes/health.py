"""Probes for Kubernetes and whoever else asks."""

from litestar import MediaType, get
from litestar.di import NamedDependency

from collector import background
from collector.errors import Unavailable
from collector.service import Service


@get("/health/live", media_type=MediaType.TEXT, tags=["health"], summary="Alive", sync_to_thread=False)
def live() -> str:
    """The process answers, and does all that it should; restart it if not."""
    if reasons := background.ended():
        raise Unavailable("; ".join(reasons), retry_after_s=1)
    return "ok\n"


@get("/health/ready", media_type=MediaType.TEXT, tags=["health"], summary="Ready")
async def ready(service: NamedDependency[Service]) -> str:
    """Requests can be served; 503 while the database is away, unsafe (`fsync` or `synchronous_commit` off), or at
    shutdown.
    """
    reasons = await service.unready()
    if reasons:
        raise Unavailable("; ".join(reasons), retry_after_s=1)
    return "ok\n"
