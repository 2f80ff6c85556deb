"""What we read of WhatsApp's webhooks and answers. Every member may be absent, null or of another type."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from trunkline.protocol.lenient import IsTrue, Many, Maybe, MaybeNumber, MaybeText, Wire, read_text

MEDIA_KINDS = ("image", "video", "audio", "voice", "document", "sticker")  # `voice` only in old payloads
_CODE_PREFIX = re.compile(r"^\(#\d+\)\s*")


class Profile(Wire):
    """What the sender calls themselves."""

    name: MaybeText = None
    username: MaybeText = None


class Sender(Wire):
    """An element of `value.contacts`: who wrote."""

    wa_id: MaybeText = None
    user_id: MaybeText = None
    profile: Maybe[Profile] = None


class Error(Wire):
    """An error of a status, of a message or of an answer."""

    code: MaybeText = None
    title: MaybeText = None
    message: MaybeText = None
    error_data: Any = None
    is_transient: IsTrue = False

    @property
    def name(self) -> str:
        """What Meta calls it, without the code."""
        return self.title or _CODE_PREFIX.sub("", self.message or "") or "Unknown error"

    @property
    def details(self) -> str:
        """Meta's explanation; `error_data` is an object or, sometimes, the text itself."""
        data = self.error_data
        return read_text(data.get("details") if isinstance(data, dict) else data) or ""


class Text(Wire):
    body: MaybeText = None


class Media(Wire):
    id: MaybeText = None
    mime_type: MaybeText = None
    caption: MaybeText = None
    filename: MaybeText = None
    voice: IsTrue = False


class Location(Wire):
    latitude: MaybeNumber = None
    longitude: MaybeNumber = None
    name: MaybeText = None
    address: MaybeText = None
    url: MaybeText = None


class PersonName(Wire):
    formatted_name: MaybeText = None
    prefix: MaybeText = None
    first_name: MaybeText = None
    middle_name: MaybeText = None
    last_name: MaybeText = None
    suffix: MaybeText = None


class Organisation(Wire):
    company: MaybeText = None
    department: MaybeText = None
    title: MaybeText = None


class Phone(Wire):
    phone: MaybeText = None
    wa_id: MaybeText = None
    type: MaybeText = None


class Email(Wire):
    email: MaybeText = None
    type: MaybeText = None


class Url(Wire):
    url: MaybeText = None
    type: MaybeText = None


class Address(Wire):
    street: MaybeText = None
    city: MaybeText = None
    state: MaybeText = None
    zip: MaybeText = None
    country: MaybeText = None
    type: MaybeText = None


class SharedContact(Wire):
    """A card that the customer shares; not to be taken for `Sender`."""

    name: Maybe[PersonName] = None
    birthday: MaybeText = None
    org: Maybe[Organisation] = None
    phones: Many[Phone] = ()
    emails: Many[Email] = ()
    urls: Many[Url] = ()
    addresses: Many[Address] = ()
    vcard: MaybeText = None


class Choice(Wire):
    id: MaybeText = None
    title: MaybeText = None


class FlowReply(Wire):
    name: MaybeText = None
    body: MaybeText = None
    response_json: Any = None


class CallPermissionReply(Wire):
    response: MaybeText = None


class Interactive(Wire):
    type: MaybeText = None
    button_reply: Maybe[Choice] = None
    list_reply: Maybe[Choice] = None
    nfm_reply: Maybe[FlowReply] = None
    call_permission_reply: Maybe[CallPermissionReply] = None


class Button(Wire):
    payload: MaybeText = None
    text: MaybeText = None


class Reaction(Wire):
    message_id: MaybeText = None
    emoji: MaybeText = None


class OrderItem(Wire):
    product_retailer_id: MaybeText = None
    quantity: MaybeText = None
    item_price: MaybeText = None
    currency: MaybeText = None


class Order(Wire):
    text: MaybeText = None
    product_items: Many[OrderItem] = ()


class System(Wire):
    body: MaybeText = None
    type: MaybeText = None
    customer: MaybeText = None
    wa_id: MaybeText = None
    new_wa_id: MaybeText = None
    user_id: MaybeText = None
    previous_user_id: MaybeText = None


class Edit(Wire):
    original_message_id: MaybeText = None
    message: Any = None  # a message without sender and id, read one level deep only


class Revoke(Wire):
    original_message_id: MaybeText = None


class Unsupported(Wire):
    type: MaybeText = None


class ReferredProduct(Wire):
    catalog_id: MaybeText = None
    product_retailer_id: MaybeText = None


class Context(Wire):
    id: MaybeText = None
    forwarded: IsTrue = False
    frequently_forwarded: IsTrue = False
    referred_product: Maybe[ReferredProduct] = None


class Referral(Wire):
    source_id: MaybeText = None
    source_url: MaybeText = None
    headline: MaybeText = None
    ctwa_clid: MaybeText = None


class Message(Wire):
    """An element of `value.messages`."""

    id: MaybeText = None
    from_: MaybeText = Field(None, alias="from")
    from_user_id: MaybeText = None
    timestamp: MaybeText = None
    type: MaybeText = None
    group_id: Any = None
    context: Maybe[Context] = None
    referral: Maybe[Referral] = None
    text: Maybe[Text] = None
    image: Maybe[Media] = None
    video: Maybe[Media] = None
    audio: Maybe[Media] = None
    voice: Maybe[Media] = None
    document: Maybe[Media] = None
    sticker: Maybe[Media] = None
    location: Maybe[Location] = None
    contacts: Many[SharedContact] = ()
    interactive: Maybe[Interactive] = None
    button: Maybe[Button] = None
    reaction: Maybe[Reaction] = None
    order: Maybe[Order] = None
    system: Maybe[System] = None
    edit: Maybe[Edit] = None
    revoke: Maybe[Revoke] = None
    unsupported: Maybe[Unsupported] = None

    @property
    def media(self) -> Media | None:
        """The object of a message that is a file."""
        media: Media | None = getattr(self, self.type) if self.type in MEDIA_KINDS else None
        return media

    @property
    def media_kind(self) -> str | None:
        """The kind of file; what was recorded in the app is a `voice`, however it comes."""
        return "voice" if self.media and self.media.voice else self.type if self.type in MEDIA_KINDS else None


class Status(Wire):
    """An element of `value.statuses`: what became of a message of ours."""

    status: MaybeText = None
    errors: Many[Error] = ()


class SentMessage(Wire):
    id: MaybeText = None


class SendAnswer(Wire):
    """Meta's answer to a send: an id, or an error."""

    messages: Many[SentMessage] = ()
    error: Maybe[Error] = None
