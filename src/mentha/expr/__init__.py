"""The expressions of tasks: which text is one, what it may name, and what the sandbox is asked to run for it. Pure."""
