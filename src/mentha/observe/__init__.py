"""What happens, told once: `emit(event)`. Logs, metrics and traces subscribe; nobody formats a log line at the place where it happens."""

from mentha.observe.events import emit, subscribe, unsubscribe

__all__ = ["emit", "subscribe", "unsubscribe"]
