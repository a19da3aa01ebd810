"""The yardstick of single payloads: an ASGI application that decodes one and answers 204, and nothing else."""

from typing import Any

import msgspec

from collector.messages.payload import Payload

_decoder = msgspec.json.Decoder(Payload)
_START = {"type": "http.response.start", "status": 204, "headers": []}
_END = {"type": "http.response.body", "body": b"", "more_body": False}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Any request, as if it were a POST of a payload."""
    assert scope["type"] == "http"
    message = await receive()
    _decoder.decode(message["body"])
    await send(_START)
    await send(_END)
