"""Tasks that run: definitions and their plans, a pure interpreter over the log of an execution, and the engine that does what it says."""
