"""What we read of Genesys' webhooks and answers. Every member may be absent, null or of another type."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from trunkline.protocol.lenient import Many, Maybe, MaybeNumber, MaybeText, Wire


class _Genesys(Wire):
    model_config = ConfigDict(alias_generator=to_camel)


class Address(_Genesys):
    """A party of a channel."""

    id: MaybeText = None


class Channel(_Genesys):
    to: Maybe[Address] = None


class Attachment(_Genesys):
    media_type: MaybeText = None
    url: MaybeText = None
    mime: MaybeText = None
    filename: MaybeText = None
    text: MaybeText = None
    content_size_bytes: MaybeNumber = None

    @property
    def is_link(self) -> bool:
        """Whether it is an address to show, not a file to send."""
        return self.media_type == "Link"


class QuickReply(_Genesys):
    text: MaybeText = None
    payload: MaybeText = None


class QuickReplies(_Genesys):
    """`quickReplyV2`: all options in one element, with the question."""

    title: MaybeText = None
    actions: Many[QuickReply] = ()


class CardAction(_Genesys):
    type: MaybeText = None
    text: MaybeText = None
    payload: MaybeText = None
    url: MaybeText = None


class Card(_Genesys):
    title: MaybeText = None
    description: MaybeText = None
    image: MaybeText = None
    video: MaybeText = None
    default_action: Maybe[CardAction] = None
    actions: Many[CardAction] = ()


class Carousel(_Genesys):
    cards: Many[Card] = ()


class ListItem(_Genesys):
    id: MaybeText = None
    title: MaybeText = None
    subtitle: MaybeText = None


class ListSection(_Genesys):
    title: MaybeText = None
    items: Many[ListItem] = ()


class Prompt(_Genesys):
    title: MaybeText = None
    subtitle: MaybeText = None
    button_label: MaybeText = None


class ListPicker(_Genesys):
    sections: Many[ListSection] = ()
    received_message: Maybe[Prompt] = None


class AvailableTime(_Genesys):
    date_time: MaybeText = None
    duration: MaybeNumber = None


class DatePicker(_Genesys):
    title: MaybeText = None
    subtitle: MaybeText = None
    available_times: Many[AvailableTime] = ()


class Parameter(_Genesys):
    name: MaybeText = None
    text: MaybeText = None


class TemplatePart(_Genesys):
    """Header, body or footer of a template."""

    text: MaybeText = None
    media: Maybe[Attachment] = None
    parameters: Many[Parameter] = ()


class TemplateButton(_Genesys):
    type: MaybeText = None
    index: MaybeText = None
    payload: MaybeText = None
    parameters: Many[Parameter] = ()


class Template(_Genesys):
    """A WhatsApp template, or without `id` a canned response."""

    id: MaybeText = None
    language: MaybeText = None
    header: Maybe[TemplatePart] = None
    body: Maybe[TemplatePart] = None
    buttons: Many[TemplateButton] = ()
    footer: Maybe[TemplatePart] = None


class TextContent(_Genesys):
    body: MaybeText = None


class Location(_Genesys):
    latitude: MaybeNumber = None
    longitude: MaybeNumber = None
    address: MaybeText = None
    text: MaybeText = None
    url: MaybeText = None


class Content(_Genesys):
    """An element of `content`; `contentType` names the member that counts."""

    content_type: MaybeText = None
    attachment: Maybe[Attachment] = None
    quick_reply: Maybe[QuickReply] = None
    quick_reply_v2: Maybe[QuickReplies] = None
    card: Maybe[Card] = None
    carousel: Maybe[Carousel] = None
    list_picker: Maybe[ListPicker] = None
    date_picker: Maybe[DatePicker] = None
    template: Maybe[Template] = None
    text: Maybe[TextContent] = None
    location: Maybe[Location] = None

    @property
    def kind(self) -> str:
        """The content type; an attachment is one even if nobody says so."""
        return self.content_type or ("Attachment" if self.attachment else "Unknown")


class Typing(_Genesys):
    type: MaybeText = None


class Event(_Genesys):
    event_type: MaybeText = None
    typing: Maybe[Typing] = None


class OutboundMessage(_Genesys):
    """A webhook body: an agent's message, an event, or a receipt."""

    channel: Maybe[Channel] = None
    type: MaybeText = None
    text: MaybeText = None
    content: Many[Content] = ()
    events: Many[Event] = ()


class Answer(_Genesys):
    """Genesys' answer to a message, an event or a receipt: what it made, or its error."""

    id: MaybeText = None
    conversation_id: MaybeText = None
    code: MaybeText = None
    message: MaybeText = None
    context_id: MaybeText = None


class TokenAnswer(Wire):
    """The login host's answer."""

    access_token: MaybeText = None
    expires_in: MaybeNumber = None
    error: MaybeText = None
    description: MaybeText = None
    error_description: MaybeText = None


class Reason(_Genesys):
    """Why a message of ours failed, in Genesys' words."""

    code: MaybeText = None
    message: MaybeText = None

    @property
    def words(self) -> str:
        """The code and what it means."""
        return ": ".join(filter(None, (self.code, self.message)))


class ReportedChannel(_Genesys):
    message_id: MaybeText = None


class ReceiptReport(_Genesys):
    """A receipt about a message that we sent in; `id` is Genesys' for it, `wamid` ours."""

    id: MaybeText = None
    status: MaybeText = None
    channel: Maybe[ReportedChannel] = None
    reasons: Many[Reason] = ()

    @property
    def wamid(self) -> str | None:
        """The `messageId` under which the message was sent."""
        return self.channel.message_id if self.channel else None
