"""The chat turn: `turn.py` is the one short function that names its stages; each stage has its file and takes and gives a value of its own."""
