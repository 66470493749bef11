"""What a step can ask of the interpreter: each a value, made by `steps/`, turned into rows and commands by `interpreter.py`. Pure."""

from dataclasses import dataclass, field
from typing import Any, Literal

from mentha.core.json import JsonObject, JsonValue

CommandKind = Literal["evaluate", "choose", "fold", "tool", "prompt", "search", "embed"]


@dataclass(frozen=True, slots=True)
class Do:
    """Have something done outside; the step goes on with its value."""

    kind: CommandKind
    args: JsonObject
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Complete:
    """The step has ended with an output."""

    output: JsonValue
    metadata: JsonObject = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Return:
    """The workflow has ended with an output."""

    output: JsonValue


@dataclass(frozen=True, slots=True)
class Branch:
    """Begin branches of the step: the suffix of each, and what it gets."""

    begun: list[tuple[str, JsonValue]]


@dataclass(frozen=True, slots=True)
class Enter:
    """Call a workflow."""

    workflow: str
    arguments: JsonValue


@dataclass(frozen=True, slots=True)
class Note:
    """Write down what was decided, so that it is decided once."""

    noted: JsonObject


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the client.

    Attributes:
        shown: what the client sees.
        kept: what the step needs to go on with the answer; None where the answer is its output.
    """

    shown: JsonValue
    kept: JsonValue = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The step has failed.

    Attributes:
        kind: a short name of what went wrong, for those that handle it.
        can_retry: whether it may go well another time.
        after_s: not to be repeated before.
    """

    message: str
    kind: str = "failed"
    can_retry: bool = False
    after_s: float = 0.0
    metadata: JsonObject = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Until:
    """Nothing to do before this time."""

    due: float


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do before something else happens."""


Move = Do | Complete | Return | Branch | Enter | Note | Wait | Fail | Until | Idle


@dataclass(frozen=True, slots=True)
class Done:
    """What a command gave."""

    value: JsonValue
    metadata: JsonObject = field(default_factory=dict[str, Any])


Failed = Fail
