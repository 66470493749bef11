"""Servers that speak MCP, which tools of an agent name: found, connected to through the door, asked, and their tools made an agent's own.

`servers.Servers` is the one entrance; one for the process.

    target (pure)      which server a tool means
    servers            asks one: catalogue, pool
      pool             connections, shared by the calls of one tenant to one server
        client         one connection, by the official SDK
      catalogue        what tools a server has, for some minutes
    discovery (pure)   a server's tools as tools of an agent
    answers (pure)     what a server says, as the API has it
"""
