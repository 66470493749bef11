"""What happens, told once: `emit(event)`. Logs, metrics and traces subscribe; nobody formats a log line at the place where it happens."""

from mentha.observe.events import emit, redact_with, subscribe, unsubscribe

__all__ = ["emit", "redact_with", "subscribe", "unsubscribe"]
