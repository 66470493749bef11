"""Tools: what an agent can do, run on the server or handed to the client."""
