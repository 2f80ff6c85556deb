"""What the control API can be asked to have written, and what was made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandbox.accounts import Account
from sandbox.conversations import DEFAULT_NAME, Conversations, Message, customer_key
from sandbox.people import Person, business_scoped_id
from sandbox.statuses import SentMessage
from sandbox.webhooks import Webhook

DEFAULT_CUSTOMER = "447700900123"


class SendOrder(BaseModel):
    """What shall be written, by whom, and how often."""

    model_config = ConfigDict(extra="forbid")

    as_: Literal["customer", "agent"] = Field(alias="as")
    tenantId: str
    customer: str = Field(DEFAULT_CUSTOMER, min_length=1, max_length=128)
    name: str = ""
    kind: str = "text"
    text: str | None = None
    content: Any = None  # by kind; an example of it if left out
    count: int = Field(1, ge=1, le=1000)
    batch: bool = False  # all messages of a customer in one POST
    timestamp: int | None = Field(None, ge=0)  # when the customer wrote, Unix seconds

    # a customer's only
    context: dict[str, Any] | None = None
    referral: dict[str, Any] | None = None  # an example of one if empty
    groupId: str | None = None
    identity: Literal["both", "hidden", "number"] = "both"  # number and user id, the id alone, the number alone
    userId: str | None = None
    parentUserId: str | None = None
    username: str | None = None
    field: str = "messages"

    @model_validator(mode="after")
    def _says_something(self) -> SendOrder:
        if self.kind == "text" and not self.text:
            raise ValueError("text is required")
        return self

    def texts(self) -> list[str | None]:
        """The text of each message, numbered if there are several."""
        if self.count == 1 or self.text is None:
            return [self.text] * self.count
        return [f"{self.text} {n}" for n in range(1, self.count + 1)]

    def person(self, customer: str, name: str) -> Person:
        """The customer as the webhook names them."""
        if not customer.isdigit():
            return Person(None, customer, name, self.username, self.parentUserId)
        if self.identity == "number":
            return Person(customer, None, name)
        user_id = self.userId or business_scoped_id(customer)
        number = None if self.identity == "hidden" else customer
        return Person(number, user_id, name, self.username, self.parentUserId)


class StatusOrder(BaseModel):
    """A status that Meta shall report of a message, whoever sent it."""

    model_config = ConfigDict(extra="forbid")

    tenantId: str
    id: str = Field(min_length=1)
    status: str = Field(min_length=1)
    code: int | None = None  # the error of `failed`
    customer: str | None = None  # the recipient of the message if left out
    callbackData: str | None = None  # that of the message if left out

    def sent(self, account: Account, conversations: Conversations) -> SentMessage:
        """The message that is reported on, as far as it is known."""
        message = conversations.message(self.id) or Message(self.id, "agent", "", 0.0, "accepted")
        body: dict[str, Any] = orjson.loads(message.body) if message.body else {}
        to = self.customer or body.get("to") or body.get("recipient") or DEFAULT_CUSTOMER
        opaque = self.callbackData if "callbackData" in self.model_fields_set else body.get("biz_opaque_callback_data")
        conversation = conversations.find(account.tenant_id, conversations.known_as(account, customer_key(to)))
        name = conversation.name if conversation is not None else DEFAULT_NAME
        return SentMessage(account, customer_key(to), name, message, opaque)


@dataclass(frozen=True, slots=True)
class Written:
    """A webhook that is ready to leave; `files` tell of those in each of its messages."""

    ids: tuple[str, ...]
    webhook: Webhook
    files: tuple[list[dict[str, Any]], ...]
