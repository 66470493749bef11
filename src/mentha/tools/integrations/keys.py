"""Keys by the names that models give them, like `ctrl+s` or `Page_Down`, as events of a browser. Pure.

Source: the Chrome DevTools Protocol's `Input.dispatchKeyEvent`; names are X's keysyms, which Anthropic's computer tool uses, and the web's.
"""

from dataclasses import dataclass

from mentha.tools.calls import ToolFailed

KEYS_MAX = 10
MODIFIERS = {"alt": 1, "option": 1, "ctrl": 2, "control": 2, "meta": 4, "super": 4, "cmd": 4, "command": 4, "win": 4, "shift": 8}
# Name → the web's name of the key, and its number on Windows, which pages look at.
NAMED: dict[str, tuple[str, int]] = {
    "backspace": ("Backspace", 8),
    "tab": ("Tab", 9),
    "return": ("Enter", 13),
    "enter": ("Enter", 13),
    "kp_enter": ("Enter", 13),
    "escape": ("Escape", 27),
    "esc": ("Escape", 27),
    "space": (" ", 32),
    "pageup": ("PageUp", 33),
    "prior": ("PageUp", 33),
    "pagedown": ("PageDown", 34),
    "next": ("PageDown", 34),
    "end": ("End", 35),
    "home": ("Home", 36),
    "left": ("ArrowLeft", 37),
    "arrowleft": ("ArrowLeft", 37),
    "up": ("ArrowUp", 38),
    "arrowup": ("ArrowUp", 38),
    "right": ("ArrowRight", 39),
    "arrowright": ("ArrowRight", 39),
    "down": ("ArrowDown", 40),
    "arrowdown": ("ArrowDown", 40),
    "insert": ("Insert", 45),
    "delete": ("Delete", 46),
    **{f"f{number}": (f"F{number}", 111 + number) for number in range(1, 13)},
}
# What these keys write, beside what they do.
TEXTS = {"Enter": "\r", " ": " ", "Tab": "\t"}


@dataclass(frozen=True, slots=True)
class Key:
    """A key, pressed with others held: the web's name, its number, the bits of those held, and what it writes."""

    key: str
    code: int
    modifiers: int
    text: str


def key_of(text: str) -> Key:
    """The key that a text names, held ones before it with `+` between.

    Raises:
        ToolFailed: it is none.
    """
    given = text.strip()
    # The last `+` of `ctrl++` is the key itself.
    before, _, name = (given[:-1].removesuffix("+"), "", "+") if given.endswith("+") else given.rpartition("+")
    modifiers = 0
    for word in before.lower().split("+")[:KEYS_MAX] if before else ():
        if word.strip() not in MODIFIERS:
            raise _unknown(text)
        modifiers |= MODIFIERS[word.strip()]
    name = name.strip()
    named = NAMED.get(name.lower().replace("_", ""))
    if named:
        return Key(*named, modifiers, TEXTS.get(named[0], "") if modifiers in (0, 8) else "")
    if len(name) != 1 or not name.isprintable():
        raise _unknown(text)
    shown = name.upper() if modifiers & 8 else name
    return Key(shown, ord(name.upper()) if name.isascii() and name.isalnum() else 0, modifiers, shown if modifiers in (0, 8) else "")


def _unknown(text: str) -> ToolFailed:
    return ToolFailed(f"the key `{text[:40]}` is not known; write it like Enter, Page_Down, a or ctrl+s")
