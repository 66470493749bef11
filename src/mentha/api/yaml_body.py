"""Bodies that may be YAML: what they say goes the way of JSON, and what is wrong with them is told with its line."""

import asyncio
from typing import Any

from fastapi.exceptions import RequestValidationError

from mentha.api.body import BodyRequest, Route
from mentha.core.errors import BodyTooLarge, FieldInvalid, TaskInvalid
from mentha.core.json import JsonValue
from mentha.core.yaml import Path, YamlInvalid, YamlRead, loads_yaml

# Of JSON as well: definitions are looked at from many sides.
DEFINITION_BYTES_MAX = 1_000_000
YAML_TYPES = frozenset(
    {b"application/yaml", b"application/x-yaml", b"application/vnd.yaml", b"text/yaml", b"text/x-yaml", b"text/vnd.yaml"}
)
_TYPE = b"content-type"


class DefinitionRequest(BodyRequest):
    """A request whose body is a definition, in JSON or, where its type says so, in YAML. To the framework it looks like JSON."""

    def __init__(self, scope: Any, receive: Any) -> None:
        self._is_yaml = any(name == _TYPE and value.partition(b";")[0].strip().lower() in YAML_TYPES for name, value in scope["headers"])
        if self._is_yaml:
            others = [(name, value) for name, value in scope["headers"] if name != _TYPE]
            scope = {**scope, "headers": [*others, (_TYPE, b"application/json")]}
        self._read: YamlRead | None = None
        super().__init__(scope, receive)

    async def json(self) -> JsonValue:
        """The body as JSON.

        Raises:
            BodyTooLarge: it has more than `DEFINITION_BYTES_MAX`.
            FieldInvalid: it is no YAML, or breaks a limit.
        """
        raw = await self.body()
        if len(raw) > DEFINITION_BYTES_MAX:
            raise BodyTooLarge(f"the definition is larger than {DEFINITION_BYTES_MAX:,} bytes", fix="make several tasks of it")
        if not self._is_yaml:
            return await super().json()
        try:
            # In a thread: what is as large as it may be takes 0.3 s.
            depth = self.app.state.runtime.settings.json_depth_max_levels
            self._read = await asyncio.to_thread(loads_yaml, raw, depth_max_levels=depth)
        except YamlInvalid as error:
            told = f"line {error.line}: {error}"
            raise FieldInvalid(told, loc=("body",), kind="yaml_invalid", fix="send valid YAML, or JSON with its own content type") from None
        return self._read.value

    def explain(self, error: Exception) -> None:
        """Add the lines of YAML to what is told of its parts."""
        if self._read is None:
            return
        if isinstance(error, RequestValidationError):
            for fault in error.errors():
                if fault["loc"][:1] == ("body",):
                    fault["line"] = self._read.line_of(_plain(fault["loc"][1:]))
        elif isinstance(error, TaskInvalid):
            for issue, path in zip(error.issues, error.paths, strict=True):
                issue["line"] = self._read.line_of(path)


class DefinitionRoute(Route):
    """A route that takes definitions in JSON and in YAML; what comes without a type is JSON."""

    request_class = DefinitionRequest


def _plain(loc: tuple[str | int, ...]) -> Path:
    """The path to a part, without the names of branches of unions."""
    return tuple(part for part in loc if not (isinstance(part, str) and part.startswith("~")))
