"""The chat turn: `turn.py` is the one short function that names its stages; each has its file, and a value of its own that it gives."""
