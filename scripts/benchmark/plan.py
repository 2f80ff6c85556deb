"""What is to be sent: by whom, how many, how fast. The load driver is told in one line of JSON."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from sandbox.accounts import Account


class Direction(StrEnum):
    """Which way the messages go."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"

    @property
    def arrives_as(self) -> str:
        """The kind of the sandbox's records in which they arrive."""
        return "genesys_message" if self is Direction.INBOUND else "graph_send"


class Plan(BaseModel):
    """One load: message k is the customer's `k % customers`, who writes to the tenant `customer % tenants`."""

    model_config = ConfigDict(frozen=True)

    run: str
    host: str
    port: int
    direction: Direction
    accounts: tuple[Account, ...]
    app_secret: str
    count: int = Field(ge=1, le=100_000)
    customers: int = Field(ge=1, le=10_000)
    connections: int = Field(ge=1, le=512)
    rate: float = Field(0.0, ge=0)  # messages a second; 0 is as fast as they are answered
    within_s: float = Field(120.0, gt=0, le=600)
