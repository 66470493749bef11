"""What everything stands on: settings, errors, ids, time, JSON, token counts, lazy imports."""
