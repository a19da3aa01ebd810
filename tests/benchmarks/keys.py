"""The price of API keys: the same single payloads to two collectors on one database, one of which asks for a key.

They take turns, many short ones: the price is a few percent, and the machine's own ups and downs are more than that.
"""

from collector.commands.keyring import create
from collector.database.chosen import Database
from tests.benchmarks import singles
from tests.benchmarks.table import Bench
from tests.harness.server import ServerProcess

CONNECTIONS = 64
TURNS = 8
"""For each round of the others."""
TURN_S = 2


def run(bench: Bench) -> None:
    """Measure, and put the figure into the table."""
    if not singles.available():
        bench.table.figure("the price of API keys", "not measured: wrk is not installed")
        return
    url = bench.server.database_url
    key = create(Database(url), "bench", "ingest", 1e5).key
    environment = {"COLLECTOR_CONSUME": "false", "COLLECTOR_API_KEYS": "on"}
    with ServerProcess(url, bench.folder / "keys.log", environment=environment) as asking:
        pairs = []
        for number in range(TURNS * bench.rounds):
            bench.say(f"API keys, turn {number + 1} of {TURNS * bench.rounds}")
            script = singles.SCRIPT % f"keys-{number}"
            # Each of a pair goes first as often as second.
            sides = [
                (asking.url, singles.with_header(script, "Authorization", f"Bearer {key}")),
                (bench.server.url, script),
            ]
            found = {}
            for address, script in sides if number % 2 else reversed(sides):
                found[address] = singles.wrk(address, script, CONNECTIONS, TURN_S, bench.folder)
            pairs.append((found[asking.url], found[bench.server.url]))
    what = f"single payloads with an API key at {CONNECTIONS} connections, against the same without"
    bench.table.ratio(what, pairs, "/s", 0.95)
