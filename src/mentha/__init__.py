"""Mentha: a self-hosted server for stateful AI agents that speaks the Julep Agents API."""

__version__ = "0.1.0"
