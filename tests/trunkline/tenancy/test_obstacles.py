"""What a tenant says is in the way of a message, without booking anything for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.fakes import with_status
from tests.trunkline.records import ACCESS_TOKEN
from tests.trunkline.tenancy.test_tenant import OUTBOUND, Setting
from trunkline.envelope import Direction
from trunkline.errors import CredentialsRefused, Unavailable
from trunkline.tenancy.record import TenantStatus
from trunkline.tenancy.standing import Hindrance, Obstacle
from trunkline.tenancy.tenant import Cloud

PERSON = OUTBOUND.wa_id


async def _suspended(setting: Setting) -> None:
    setting.tenant.update(with_status(setting.record, TenantStatus.SUSPENDED))


async def _refused(setting: Setting) -> None:
    await setting.tenant.refused(Cloud.WHATSAPP, ACCESS_TOKEN, "190 expired", expired=False)


async def _failing(setting: Setting) -> None:
    setting.tenant.failing(Cloud.WHATSAPP, "503")


async def _throttled(setting: Setting) -> None:
    setting.tenant.throttled(Cloud.WHATSAPP, "429", 30.0)


async def _person_used_up(setting: Setting) -> None:
    setting.tenant.person_throttled(PERSON)
    setting.tenant.person_throttled(PERSON)


async def _booked_ahead(setting: Setting) -> None:
    await setting.passages(*[replace(OUTBOUND, wa_id=f"4477009{number:05}") for number in range(40)])


@pytest.mark.parametrize(
    ("happened", "hindrance", "words"),
    [
        (_suspended, Hindrance.SUSPENDED, "suspended"),
        (_refused, Hindrance.CREDENTIALS, "190 expired"),
        (_failing, Hindrance.FAILING, "503"),
        (_throttled, Hindrance.THROTTLED, "429"),
        (_person_used_up, Hindrance.PERSON_LIMIT, "person"),
        (_booked_ahead, Hindrance.OWN_LIMIT, "limit"),
    ],
)
async def test_what_is_in_the_way_of_a_message_to_whatsapp_is_named(
    happened: Callable[[Setting], Awaitable[None]], hindrance: Hindrance, words: str
) -> None:
    setting = Setting()
    assert setting.tenant.obstacle(Direction.OUTBOUND, PERSON) is None
    await happened(setting)
    obstacle = setting.tenant.obstacle(Direction.OUTBOUND, PERSON)
    assert obstacle is not None
    assert obstacle.hindrance is hindrance and words in obstacle.words
    if hindrance is not Hindrance.SUSPENDED:
        assert obstacle.left_s is not None and obstacle.left_s > 0
        assert setting.tenant.obstacle(Direction.INBOUND, PERSON) is None


@pytest.mark.parametrize(
    ("error", "hindrance"),
    [
        (CredentialsRefused("invalid_client"), Hindrance.CREDENTIALS),
        (Unavailable("login host away"), Hindrance.NO_TOKEN),
    ],
)
async def test_without_a_token_nothing_reaches_genesys(error: Exception, hindrance: Hindrance) -> None:
    setting = Setting()
    setting.host.error = error
    await setting.tenant.standing(Cloud.GENESYS)
    for direction in (Direction.INBOUND, Direction.STATUS):
        obstacle = setting.tenant.obstacle(direction, PERSON)
        assert obstacle is not None and obstacle.hindrance is hindrance
    assert setting.tenant.obstacle(Direction.OUTBOUND, PERSON) is None


async def test_another_persons_limit_is_in_nobodys_way_and_asking_books_nothing() -> None:
    setting = Setting()
    await _person_used_up(setting)
    assert setting.tenant.obstacle(Direction.OUTBOUND, "447700900222") is None
    before = setting.tenant.obstacle(Direction.OUTBOUND, PERSON)
    assert isinstance(before, Obstacle)
    assert [setting.tenant.obstacle(Direction.OUTBOUND, PERSON) for _ in range(5)] == [before] * 5


async def test_once_the_probe_is_accepted_nothing_is_in_the_way() -> None:
    setting = Setting()
    await _failing(setting)
    setting.clock.advance(60)
    await setting.passage(OUTBOUND)
    setting.tenant.accepted(Cloud.WHATSAPP)
    setting.clock.advance(10)
    assert setting.tenant.obstacle(Direction.OUTBOUND, PERSON) is None
