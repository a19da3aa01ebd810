"""The rows of the benchmark: what the simulator's devices send, as JSON lines and as the CSV of the same rows."""

import time
import zlib
from itertools import islice
from pathlib import Path

import msgspec

from collector.messages.payload import Payload
from collector.store.rows import encode_csv
from simulation.scenario.strategies import draw
from simulation.traffic.pace import Timing
from simulation.traffic.payloads import traffic

SEED = 1
RUN = "round-0"
CSV_BLOCK_ROWS = 10_000


class Rows(msgspec.Struct):
    """`count` payloads in two files; lines of another round have other tokens."""

    folder: Path
    count: int

    @property
    def csv(self) -> Path:
        """The rows in PAYLOAD_COLUMNS, none of them starting a session."""
        return self.folder / "rows.csv"

    def lines(self, number: int) -> bytes:
        """The payloads as JSON lines; tokens are those of the round."""
        data = (self.folder / "rows.jsonl").read_bytes()
        return data.replace(b'"round-0-', b'"round-%d-' % number)

    def part(self, number: int, parts: int) -> list[bytes]:
        """The same, as several streams: a session's payloads all come by the same one."""
        streams: list[list[bytes]] = [[] for _ in range(parts)]
        for line in self.lines(number).splitlines(keepends=True):
            streams[zlib.crc32(line[: line.index(b",")]) % parts].append(line)
        return [b"".join(stream) for stream in streams]


def make(folder: Path, count: int) -> Rows:
    """Draw the devices and let them send `count` payloads into files."""
    rows = Rows(folder, count)
    decode = msgspec.json.Decoder(Payload).decode
    now_ms = int(time.time() * 1000)
    messages = islice(traffic(draw(SEED), seed=SEED, run=RUN, timing=Timing(rate=100_000)), count)
    with (folder / "rows.jsonl").open("wb") as lines, rows.csv.open("wb") as csv:
        while block := [message.body for message in islice(messages, CSV_BLOCK_ROWS)]:
            lines.write(b"\n".join(block) + b"\n")
            encoded = encode_csv([decode(body) for body in block], now_ms, started=False)
            assert encoded is not None
            csv.write(encoded)
    return rows
