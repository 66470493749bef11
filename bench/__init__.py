"""The bench: what a request, a turn and a stream cost on this machine, beside what they must cost. `docs/benchmarks.md` explains it."""
