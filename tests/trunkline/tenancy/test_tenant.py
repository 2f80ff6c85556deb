"""A tenant: who may pass, who must wait and why, and what both clouds' refusals change."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes import Clock, LoginHost, MemoryConversations, MemoryTokenCache, until, with_status
from tests.trunkline.records import ACCESS_TOKEN, CLIENT_SECRET, tenant_record
from trunkline.envelope import Direction
from trunkline.errors import CredentialsRefused, StoreUnavailable, Throttled, Unavailable
from trunkline.tenancy.conversations import Conversations
from trunkline.tenancy.record import GenesysAccount, Secret, TenantSettings, TenantStatus
from trunkline.tenancy.tenant import (
    Ask,
    Cloud,
    Credentials,
    GenesysAccess,
    Held,
    Passage,
    Tenant,
    WhatsAppAccess,
    cloud_of,
)
from trunkline.tenancy.tokens import Token, TokenKeeper

INBOUND = Ask(Direction.INBOUND, "447700900111", 1_795_435_200.0)
OUTBOUND = Ask(Direction.OUTBOUND, "447700900111", 1_795_435_200.0)
STATUS = Ask(Direction.STATUS, "447700900111", 1_795_435_200.0)


class Setting:
    """A tenant with everything it needs."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.host = LoginHost(self.clock, lives_s=86_400)
        self.cache = MemoryTokenCache()
        self.conversations = MemoryConversations()
        self.sources: list[GenesysAccount] = []
        self.record = tenant_record("acme", settings=TenantSettings(**settings))
        self.tenant = Tenant(
            self.record,
            7,
            TokenKeeper("acme", self.host, self.cache, self.clock),
            Conversations("acme", self.conversations, self.clock),
            self.source_of,
            self.clock,
        )

    def source_of(self, account: GenesysAccount) -> LoginHost:
        self.sources.append(account)
        return self.host

    async def ready(self) -> None:
        """What a lane does before it reads: wait for the tenant's standing."""
        assert await self.tenant.standing(Cloud.GENESYS) is None

    async def passage(self, ask: Ask = INBOUND) -> Passage:
        (answer,) = await self.tenant.admit([ask])
        assert isinstance(answer, Passage), answer
        return answer

    async def held(self, ask: Ask = INBOUND) -> Held:
        (answer,) = await self.tenant.admit([ask])
        assert isinstance(answer, Held), answer
        return answer


@pytest.fixture
def setting() -> Setting:
    return Setting()


@pytest.mark.parametrize(
    ("direction", "cloud"),
    [
        (Direction.INBOUND, Cloud.GENESYS),
        (Direction.STATUS, Cloud.GENESYS),
        (Direction.OUTBOUND, Cloud.WHATSAPP),
    ],
)
def test_each_direction_has_its_cloud(direction: Direction, cloud: Cloud) -> None:
    assert cloud_of(direction) is cloud


async def test_a_message_for_genesys_passes_with_all_that_its_call_needs(setting: Setting) -> None:
    await setting.ready()
    account = setting.record.genesys
    access = GenesysAccess(account.region, account.integration_id, "token-1", phone_with_plus=False)
    assert await setting.passage() == Passage(7, "conversation-1", access, 0.0, probe=False)


async def test_a_message_for_whatsapp_passes_without_any_token_of_genesys(setting: Setting) -> None:
    setting.host.error = CredentialsRefused("invalid_client")
    passage = await setting.passage(OUTBOUND)
    assert passage.access == WhatsAppAccess(setting.record.whatsapp.phone_number_id, ACCESS_TOKEN)
    assert setting.host.fetches == 0


async def test_both_directions_of_a_customer_share_the_conversation_and_each_has_its_access(setting: Setting) -> None:
    await setting.ready()
    inbound, outbound = await setting.tenant.admit([INBOUND, OUTBOUND])
    assert isinstance(inbound, Passage)
    assert isinstance(outbound, Passage)
    assert isinstance(inbound.access, GenesysAccess)
    assert isinstance(outbound.access, WhatsAppAccess)


async def test_passage_waits_for_no_cloud(setting: Setting) -> None:
    setting.host.gate = asyncio.Event()  # a login host that does not answer
    answers = await asyncio.wait_for(setting.tenant.admit([INBOUND, OUTBOUND]), timeout=2)
    assert isinstance(answers[0], Held)
    assert "token" in answers[0].reason
    assert answers[0].retry_after_s < 0.1
    assert isinstance(answers[1], Passage)


async def test_standing_waits_for_the_token(setting: Setting) -> None:
    setting.host.gate = asyncio.Event()
    standing = asyncio.create_task(setting.tenant.standing(Cloud.GENESYS))
    await until(lambda: setting.host.fetches, "the fetch")
    assert not standing.done()
    setting.host.gate.set()
    assert await standing is None
    await setting.passage()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(
            CredentialsRefused("invalid_client: authentication failed", "401"),
            "Genesys refuses the credentials: invalid_client: authentication failed",
            id="wrong credentials",
        ),
        pytest.param(Unavailable("503 login"), "no Genesys token: 503 login", id="login host away"),
        pytest.param(Throttled(40.0, "429"), "429, again in 40 s", id="login host throttles"),
    ],
)
async def test_a_lane_is_told_in_words_why_there_is_no_token(setting: Setting, error: Exception, reason: str) -> None:
    setting.host.error = error
    standing = await setting.tenant.standing(Cloud.GENESYS)
    assert standing is not None
    assert standing.reason == reason
    assert standing.retry_after_s <= 10
    assert await setting.tenant.standing(Cloud.WHATSAPP) is None


async def test_a_suspended_tenant_holds_every_lane_and_an_active_one_releases_them(setting: Setting) -> None:
    await setting.ready()
    setting.tenant.update(with_status(setting.record, TenantStatus.SUSPENDED))
    answers = await setting.tenant.admit([INBOUND, OUTBOUND, STATUS])
    assert [getattr(answer, "reason", None) for answer in answers] == ["tenant is suspended"] * 3
    for cloud in Cloud:
        assert await setting.tenant.standing(cloud) is not None
    setting.tenant.update(setting.record)
    await setting.passage()
    await setting.passage(OUTBOUND)


async def test_an_expired_token_is_replaced_once_and_nothing_is_held(setting: Setting) -> None:
    await setting.ready()
    for _ in range(20):
        await setting.tenant.refused(Cloud.GENESYS, "token-1", "401", expired=True)
    await setting.ready()
    passage = await setting.passage()
    assert isinstance(passage.access, GenesysAccess)
    assert passage.access.access_token == "token-2"
    assert not passage.probe
    assert setting.host.fetches == 2


async def test_rights_that_no_token_has_hold_the_lane_and_each_pause_ends_with_one_call(setting: Setting) -> None:
    calls = 0
    for _ in range(60):
        if await setting.tenant.standing(Cloud.GENESYS) is None:
            for passage in await setting.tenant.admit([INBOUND] * 10):
                if isinstance(passage, Passage):
                    assert isinstance(passage.access, GenesysAccess)
                    calls += 1
                    await setting.tenant.refused(
                        Cloud.GENESYS, passage.access.access_token, "401 bad.credentials", expired=True
                    )
        setting.clock.advance(1)
    # Twenty left before the first refusals were read; from then on one a pause, at most every 8 s.
    assert calls <= 20 + 10
    assert setting.host.fetches <= 12


async def test_a_missing_right_holds_genesys_and_leaves_whatsapp_alone(setting: Setting) -> None:
    await setting.ready()
    await setting.tenant.refused(Cloud.GENESYS, "token-1", "403 missing.permissions", expired=False)
    assert (await setting.held()).reason == "403 missing.permissions"
    assert (await setting.held(STATUS)).reason == "403 missing.permissions"
    standing = await setting.tenant.standing(Cloud.GENESYS)
    assert standing == Held("403 missing.permissions", 2.0)
    await setting.passage(OUTBOUND)


async def test_a_refused_token_from_the_cache_may_be_another_accounts_and_is_replaced_first(setting: Setting) -> None:
    now = setting.clock()
    setting.cache.token = Token(Secret("of the old client"), now, now + 86_400)
    await setting.ready()
    await setting.tenant.refused(Cloud.GENESYS, "of the old client", "404 not.found", expired=False)
    await setting.ready()
    passage = await setting.passage()
    assert isinstance(passage.access, GenesysAccess)
    assert passage.access.access_token == "token-1"


async def test_a_refusal_of_credentials_no_longer_in_force_holds_nothing(setting: Setting) -> None:
    await setting.ready()
    await setting.tenant.refused(Cloud.GENESYS, "an older token", "403", expired=False)
    await setting.tenant.refused(Cloud.WHATSAPP, "an older token", "190", expired=False)
    await setting.passage()
    await setting.passage(OUTBOUND)


async def test_a_refusal_that_comes_in_while_the_conversation_is_looked_up_holds_that_call_too(
    setting: Setting,
) -> None:
    await setting.ready()
    setting.conversations.before_answer = lambda: setting.tenant.throttled(Cloud.GENESYS, "429", 17.0)
    assert await setting.held() == Held("429", 17.0)


async def test_a_token_refused_while_the_conversation_is_looked_up_is_not_used(setting: Setting) -> None:
    await setting.ready()
    refusing: list[asyncio.Task[None]] = []

    def refuse() -> None:
        report = setting.tenant.refused(Cloud.GENESYS, "token-1", "401", expired=True)
        refusing.append(asyncio.ensure_future(report))

    setting.conversations.before_answer = refuse
    admitting = asyncio.create_task(setting.tenant.admit([INBOUND, replace(INBOUND, wa_id="447700900222")]))
    answers = await admitting
    await asyncio.gather(*refusing)
    for answer in answers:
        assert isinstance(answer, Held) or isinstance(answer.access, GenesysAccess)
    assert await setting.held()


async def test_a_failed_look_up_does_not_use_up_the_probe(setting: Setting) -> None:
    await setting.ready()
    setting.tenant.throttled(Cloud.GENESYS, "429", 1.0)
    setting.clock.advance(1)
    setting.conversations.away = True
    with pytest.raises(StoreUnavailable):
        await setting.tenant.admit([INBOUND])
    setting.conversations.away = False
    assert (await setting.passage()).probe


async def test_after_a_pause_one_call_probes_and_its_success_frees_all(setting: Setting) -> None:
    await setting.ready()
    setting.tenant.throttled(Cloud.GENESYS, "429 too.many.requests", 17.0)
    assert (await setting.held()).retry_after_s == 17.0
    setting.clock.advance(17)
    answers = await setting.tenant.admit([INBOUND] * 5)
    assert [isinstance(answer, Passage) and answer.probe for answer in answers] == [True] + [False] * 4
    assert all(isinstance(answer, Held) for answer in answers[1:])
    setting.tenant.accepted(Cloud.GENESYS)
    assert not any(isinstance(answer, Held) for answer in await setting.tenant.admit([INBOUND] * 5))


async def test_a_probe_does_not_wait_behind_calls_that_never_left(setting: Setting) -> None:
    await setting.ready()
    await setting.tenant.admit([INBOUND] * 200)
    setting.tenant.throttled(Cloud.GENESYS, "429", 2.0)
    setting.clock.advance(2)
    passage = await setting.passage()
    assert passage.probe
    assert passage.wait_s == 0


async def test_corrected_credentials_are_tried_at_once(setting: Setting) -> None:
    setting.host.error = CredentialsRefused("invalid_client")
    assert await setting.tenant.standing(Cloud.GENESYS) is not None
    setting.host.error = None
    corrected = replace(setting.record.genesys, client_secret=Secret("the right one"))
    setting.tenant.update(replace(setting.record, genesys=corrected))
    assert setting.sources == [corrected]
    await setting.ready()
    await setting.passage()


async def test_a_corrected_access_token_frees_whatsapp_at_once(setting: Setting) -> None:
    await setting.tenant.refused(Cloud.WHATSAPP, ACCESS_TOKEN, "190 expired", expired=False)
    await setting.held(OUTBOUND)
    corrected = replace(setting.record.whatsapp, access_token=Secret("EAAG-the-new-one"))
    setting.tenant.update(replace(setting.record, whatsapp=corrected))
    passage = await setting.passage(OUTBOUND)
    assert passage.access == WhatsAppAccess(corrected.phone_number_id, "EAAG-the-new-one")
    assert not passage.probe


async def test_other_changes_of_a_record_keep_token_and_holds(setting: Setting) -> None:
    await setting.ready()
    await setting.tenant.refused(Cloud.WHATSAPP, ACCESS_TOKEN, "190 expired", expired=False)
    setting.tenant.update(replace(setting.record, name="Acme Ltd"))
    await setting.held(OUTBOUND)
    await setting.passage()
    assert setting.host.fetches == 1


async def test_messages_and_receipts_share_one_limit_and_each_customer_has_another() -> None:
    setting = Setting(genesys_requests_per_minute=60, whatsapp_person_messages_per_minute=10, whatsapp_person_burst=2)
    await setting.ready()
    answers = await setting.tenant.admit([INBOUND, STATUS, INBOUND])
    waits = [answer.wait_s for answer in answers if isinstance(answer, Passage)]
    assert waits == pytest.approx([0, 1 / 0.9, 2 / 0.9], abs=1e-5)
    answers = await setting.tenant.admit([OUTBOUND] * 3)
    waits = [answer.wait_s for answer in answers if isinstance(answer, Passage)]
    assert waits[2] == pytest.approx(6, abs=0.1)


async def test_a_patched_limit_is_in_force_with_the_next_call() -> None:
    setting = Setting(genesys_requests_per_minute=1)
    await setting.ready()
    await setting.passage()
    lifted = TenantSettings(genesys_requests_per_minute=1_000_000, whatsapp_messages_per_second=1_000_000)
    setting.tenant.update(replace(setting.record, settings=lifted))
    setting.clock.advance(60)
    answers = await setting.tenant.admit([INBOUND] * 100)
    assert all(isinstance(answer, Passage) and answer.wait_s < 0.01 for answer in answers)


async def test_the_admin_api_is_told_whether_a_token_was_fetched_for_it(setting: Setting) -> None:
    token, source = await setting.tenant.token(force=False)
    assert (token.access_token.reveal(), source) == ("token-1", "fresh")
    assert (await setting.tenant.token(force=False))[1] == "cache"
    token, source = await setting.tenant.token(force=True)
    assert (token.access_token.reveal(), source) == ("token-2", "fresh")


async def test_a_token_found_in_redis_is_from_the_cache(setting: Setting) -> None:
    now = setting.clock()
    setting.cache.token = Token(Secret("kept"), now, now + 86_400)
    token, source = await setting.tenant.token(force=False)
    assert (token.access_token.reveal(), source) == ("kept", "cache")


async def test_a_status_names_holds_and_shows_no_secret(setting: Setting) -> None:
    await setting.ready()
    await setting.tenant.refused(Cloud.WHATSAPP, ACCESS_TOKEN, "190 expired", expired=False)
    setting.clock.advance(60)
    status = setting.tenant.status()
    assert status["epoch"] == 7
    assert status["token"] == {"ageSeconds": 60, "expiresIn": 86_340}
    assert status["holds"] == {"genesys": None, "whatsapp": "190 expired"}
    shown = repr(status) + repr(await setting.passage())
    assert not any(secret in shown for secret in (ACCESS_TOKEN, CLIENT_SECRET, "token-1"))


async def test_a_sign_of_life_uses_up_no_limit_of_messages() -> None:
    setting = Setting(whatsapp_messages_per_second=1, whatsapp_person_messages_per_minute=1, whatsapp_person_burst=1)
    for _ in range(10):
        assert (await setting.passage(replace(OUTBOUND, is_message=False))).wait_s == 0
    assert (await setting.passage(OUTBOUND)).wait_s == 0


async def test_files_are_moved_with_both_clouds_credentials(setting: Setting) -> None:
    account = setting.record.whatsapp
    assert await setting.tenant.credentials() == Credentials(
        WhatsAppAccess(account.phone_number_id, ACCESS_TOKEN), None, setting.record.genesys.region, "token-1"
    )
    assert ACCESS_TOKEN not in repr(await setting.tenant.credentials())


async def test_without_a_genesys_token_files_are_moved_all_the_same(setting: Setting) -> None:
    setting.host.error = CredentialsRefused("invalid_client", "400")
    assert (await setting.tenant.credentials()).genesys_token is None


async def test_whoever_moves_files_is_told_that_whatsapp_is_held(setting: Setting) -> None:
    setting.tenant.throttled(Cloud.WHATSAPP, "130429", 7.0)
    held = (await setting.tenant.credentials()).whatsapp_held
    assert held is not None
    assert held.retry_after_s == pytest.approx(7.0)
    setting.clock.advance(8.0)
    assert (await setting.tenant.credentials()).whatsapp_held is None
