"""What is to be sent: by whom, how many, how fast. The load driver is told in one line of JSON."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
    """One load: message k is the customer's `k % customers`.

    So many neighbouring customers as there are messages `in_a_webhook` write to the same tenant, and share a webhook;
    `first_customer` is added to their numbers. The same plan makes the same webhooks, their ids, texts and order.
    """

    model_config = ConfigDict(frozen=True)

    run: str
    host: str
    port: int
    direction: Direction
    accounts: tuple[Account, ...]
    app_secret: str
    count: int = Field(ge=1, le=100_000)
    customers: int = Field(ge=1, le=10_000)
    first_customer: int = Field(0, ge=0)
    in_a_webhook: int = Field(1, ge=1, le=100)
    connections: int = Field(ge=1, le=512)
    rate: float = Field(0.0, ge=0)  # messages a second; 0 is as fast as they are answered
    within_s: float = Field(120.0, gt=0, le=900)

    @model_validator(mode="after")
    def _webhooks_are_full(self) -> Plan:
        if self.customers % self.in_a_webhook or self.count % self.in_a_webhook:
            raise ValueError("customers and count must be multiples of the messages in a webhook")
        return self

    def account_of(self, customer: int) -> Account:
        """To whom a customer writes."""
        return self.accounts[customer // self.in_a_webhook % len(self.accounts)]
