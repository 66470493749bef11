"""OpenAI's Responses over sessions: a request becomes a turn, its outcome items and events."""
