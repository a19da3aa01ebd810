"""Simulated devices for a collector, in one direction:

    scenario/   which devices there are: plain data, drawn by Hypothesis from a seed, saved as JSON
    traffic/    what they send, and when: pure, fast, seeded generators
    load/       sending it at its moment, retries, measuring; what became of each message goes into the books
    truth/      the books: ledgers of what was acknowledged, and their comparison with what the collector shows
    command/    what a run is asked for, and what a person sees of it

`cli` is the command line, `simulate`.
"""
