"""What stops a start, in words for the person who started it."""

from __future__ import annotations


class LauncherError(Exception):
    """The start cannot go on; the text names the cause and the remedy."""


class PortTakenError(LauncherError):
    """A port that must be ours is listened on by somebody else."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.port = port

    def __str__(self) -> str:
        return f"Port {self.port} is already in use"


class StopRequestedError(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived while something was waited for."""
