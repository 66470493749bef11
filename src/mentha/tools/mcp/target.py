"""Which MCP server a tool means: what its setup says, within what the operator allows. Pure.

Connections are shared by what stands here, so that a tool with another key never gets the connection of the first.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from mentha.core.config import McpCommand, Settings
from mentha.core.json import JsonObject, dumps
from mentha.tools.calls import ToolFailed
from mentha.tools.hidden import texts_of_all

ARGS_MAX = 50
ARG_CHARS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Target:
    """A server, with all that it is to be told.

    Attributes:
        headers: of every request, as they were given; the door checks them.
        argv: the program and its arguments (stdio).
        env: what is added to its environment (stdio).
    """

    transport: Literal["http", "sse", "stdio"]
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    argv: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()

    @property
    def host(self) -> str:
        """Where it is, to share connections out by; empty for a program."""
        return self.url.partition("://")[2].partition("/")[0].lower()

    @property
    def secrets(self) -> list[str]:
        """What nobody may read in anything that the server says."""
        return texts_of_all([*(value for _, value in self.headers), *(value for _, value in self.env)])

    @property
    def digest(self) -> bytes:
        """What tells it from every other one; says nothing of its secrets."""
        return hashlib.sha256(dumps([self.transport, self.url, self.headers, self.argv, self.env])).digest()


def target_of(setup: JsonObject, settings: Settings) -> Target:
    """The server that a setup names.

    Args:
        setup: of the provider `mcp`, its secrets open.

    Raises:
        ToolFailed: something is missing, or the operator has not listed the command, or lets tools change less of it.
    """
    if setup["transport"] == "stdio":
        return _program(setup, settings)
    url = setup.get("http_url")
    if not isinstance(url, str) or not url:
        raise ToolFailed("the field `http_url` in the tool's `setup` is missing: it is the address of the MCP server")
    return Target(setup["transport"], url=url, headers=tuple((setup.get("http_headers") or {}).items()))


def _program(setup: JsonObject, settings: Settings) -> Target:
    name = setup.get("command") or ""
    command = settings.mcp_commands.get(name)
    if command is None:
        known = ", ".join(f"`{each}`" for each in settings.mcp_commands) or "none"
        raise ToolFailed(
            f"the command in the tool's `setup` is not one that the operator has listed in MENTHA_MCP_COMMANDS; there are: {known}"
        )
    if setup.get("cwd"):
        raise ToolFailed("the field `cwd` in the tool's `setup` can't be set: the operator decides where the program runs")
    return Target("stdio", argv=(*command.argv, *_args(setup, command)), env=_env(setup, command))


def _args(setup: JsonObject, command: McpCommand) -> tuple[str, ...]:
    args: list[str] = setup.get("args") or []
    if args and not command.takes_args:
        raise ToolFailed("the operator does not let tools add `args` to this command")
    if len(args) > ARGS_MAX or any(len(each) > ARG_CHARS_MAX or "\0" in each for each in args):
        raise ToolFailed(f"`args` in the tool's `setup` has more than {ARGS_MAX} texts, or one that can't be an argument")
    return tuple(args)


def _env(setup: JsonObject, command: McpCommand) -> tuple[tuple[str, str], ...]:
    env: JsonObject = setup.get("env") or {}
    refused = [name for name in env if name not in command.env]
    if refused:
        known = ", ".join(f"`{each}`" for each in command.env) or "none"
        raise ToolFailed(f"`env` in the tool's `setup` has a variable that the operator does not let tools set; there are: {known}")
    if any(len(value) > ARG_CHARS_MAX or "\0" in value for value in env.values()):
        raise ToolFailed("`env` in the tool's `setup` has a value that can't be one")
    return tuple(env.items())
