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
    PROBE_PREFETCH,
    Ask,
    Cloud,
    Credentials,
    GenesysAccess,
    Held,
    Later,
    Passage,
    Priority,
    Ready,
    Tenant,
    WhatsAppAccess,
    cloud_of,
)
from trunkline.tenancy.tokens import Token, TokenKeeper

INBOUND = Ask(Direction.INBOUND, "447700900111", 1_795_435_200.0)
OUTBOUND = Ask(Direction.OUTBOUND, "447700900111", 1_795_435_200.0)
STATUS = Ask(Direction.STATUS, "447700900111", 1_795_435_200.0)
FAILED = replace(STATUS, priority=Priority.FAILED_RECEIPT)
DELIVERED = replace(STATUS, priority=Priority.DELIVERED_RECEIPT)
FREE_FORM = replace(OUTBOUND, is_free_form=True)
NOW = 1_795_435_200.0
DAY_S = 86_400.0


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
        assert isinstance(await self.tenant.standing(Cloud.GENESYS), Ready)

    async def passage(self, ask: Ask = INBOUND) -> Passage:
        (answer,) = await self.tenant.admit([ask])
        assert isinstance(answer, Passage), answer
        return answer

    async def passages(self, *asks: Ask) -> list[Passage]:
        answers = await self.tenant.admit(asks)
        assert all(isinstance(answer, Passage) for answer in answers), answers
        return [answer for answer in answers if isinstance(answer, Passage)]

    async def later(self, ask: Ask) -> Later:
        (answer,) = await self.tenant.admit([ask])
        assert isinstance(answer, Later), answer
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
    assert isinstance(await standing, Ready)
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
    assert isinstance(standing, Held)
    assert standing.reason == reason
    assert standing.retry_after_s <= 10
    assert isinstance(await setting.tenant.standing(Cloud.WHATSAPP), Ready)
    circuits = setting.tenant.status()["circuits"]
    assert (circuits["genesys"]["state"], circuits["genesys"]["reason"]) == ("open", reason)
    assert circuits["genesys"]["nextTryInSeconds"] >= 2
    assert circuits["whatsapp"]["state"] == "closed"


async def test_a_suspended_tenant_holds_every_lane_and_an_active_one_releases_them(setting: Setting) -> None:
    await setting.ready()
    setting.tenant.update(with_status(setting.record, TenantStatus.SUSPENDED))
    answers = await setting.tenant.admit([INBOUND, OUTBOUND, STATUS])
    assert [getattr(answer, "reason", None) for answer in answers] == ["tenant is suspended"] * 3
    for cloud in Cloud:
        assert isinstance(await setting.tenant.standing(cloud), Held)
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
        if isinstance(await setting.tenant.standing(Cloud.GENESYS), Ready):
            for passage in await setting.tenant.admit([INBOUND] * 10):
                if isinstance(passage, Passage):
                    assert isinstance(passage.access, GenesysAccess)
                    calls += 1
                    await setting.tenant.refused(
                        Cloud.GENESYS, passage.access.access_token, "401 bad.credentials", expired=True
                    )
        setting.clock.advance(1)
    # Twenty left before the first refusals were read; from then on one a pause, of which all but two last 4 to 8 s.
    assert calls <= 20 + 16
    assert setting.host.fetches <= 18


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
        assert isinstance(answer, Held) or (isinstance(answer, Passage) and isinstance(answer.access, GenesysAccess))
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
    assert setting.tenant.status()["circuits"]["genesys"]["state"] == "half_open"
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
    assert isinstance(await setting.tenant.standing(Cloud.GENESYS), Held)
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


async def test_other_changes_of_a_record_keep_token_and_circuits(setting: Setting) -> None:
    await setting.ready()
    await setting.tenant.refused(Cloud.WHATSAPP, ACCESS_TOKEN, "190 expired", expired=False)
    setting.tenant.update(replace(setting.record, name="Acme Ltd"))
    await setting.held(OUTBOUND)
    await setting.passage()
    assert setting.host.fetches == 1


async def test_messages_and_receipts_share_one_limit() -> None:
    setting = Setting(genesys_requests_per_minute=60)
    await setting.ready()
    waits = [passage.wait_s for passage in await setting.passages(INBOUND, STATUS, INBOUND)]
    assert waits == pytest.approx([0, 1 / 0.9, 2 / 0.9], abs=1e-5)


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


async def test_a_status_describes_circuits_and_shows_no_secret(setting: Setting) -> None:
    await setting.ready()
    await setting.tenant.refused(Cloud.WHATSAPP, ACCESS_TOKEN, "190 expired", expired=False)
    setting.clock.advance(60)
    status = setting.tenant.status()
    assert status["epoch"] == 7
    expires_at = "2026-11-24T12:00:00.000Z"
    assert status["token"] == {"ageSeconds": 60, "expiresIn": 86_340, "expiresAt": expires_at}
    assert status["circuits"] == {
        "genesys": {"state": "closed", "reason": None, "nextTryInSeconds": None},
        "whatsapp": {"state": "half_open", "reason": "190 expired", "nextTryInSeconds": 0.0},
    }
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


async def test_a_cloud_that_fails_is_left_alone_and_its_probe_decides(setting: Setting) -> None:
    await setting.ready()
    setting.tenant.failing(Cloud.GENESYS, "503 service.unavailable")
    assert await setting.held() == Held("503 service.unavailable", 2.0)
    assert isinstance(await setting.tenant.standing(Cloud.GENESYS), Held)
    await setting.passage(OUTBOUND)  # the other cloud is well
    setting.clock.advance(2)
    assert (await setting.passage()).probe
    setting.tenant.failing(Cloud.GENESYS, "503 again")
    assert (await setting.held()).reason == "503 again"
    setting.clock.advance(4)
    assert (await setting.passage()).probe
    setting.tenant.accepted(Cloud.GENESYS)
    assert not any(passage.probe for passage in await setting.passages(*[INBOUND] * 5))


async def test_a_half_open_circuit_lets_little_be_read(setting: Setting) -> None:
    setting.tenant.failing(Cloud.WHATSAPP, "503")
    setting.clock.advance(2.5)
    assert await setting.tenant.standing(Cloud.WHATSAPP) == Ready(PROBE_PREFETCH, is_half_open=True)
    setting.tenant.accepted(Cloud.WHATSAPP)
    assert not (await reading(setting)).is_half_open


async def reading(setting: Setting) -> Ready:
    standing = await setting.tenant.standing(Cloud.WHATSAPP)
    assert isinstance(standing, Ready)
    return standing


async def test_a_suspect_is_not_the_probe_if_another_waits(setting: Setting) -> None:
    await setting.ready()
    setting.tenant.failing(Cloud.GENESYS, "timed out")
    setting.clock.advance(2)
    suspect = replace(INBOUND, is_suspect=True)
    answers = await setting.tenant.admit([suspect, INBOUND])
    assert isinstance(answers[0], Held)
    assert isinstance(answers[1], Passage)
    assert answers[1].probe


async def test_a_suspect_is_the_probe_when_nobody_else_comes(setting: Setting) -> None:
    await setting.ready()
    setting.tenant.failing(Cloud.GENESYS, "timed out")
    setting.clock.advance(2)
    suspect = replace(INBOUND, is_suspect=True)
    assert (await setting.held(suspect)).retry_after_s == 3.0
    setting.clock.advance(3)
    assert (await setting.passage(suspect)).probe


async def test_a_probe_whose_token_had_expired_makes_room_for_the_next(setting: Setting) -> None:
    await setting.ready()
    setting.tenant.throttled(Cloud.GENESYS, "429", 1.0)
    setting.clock.advance(1)
    assert (await setting.passage()).probe
    await setting.tenant.refused(Cloud.GENESYS, "token-1", "401", expired=True)
    await setting.tenant.token(force=False)
    setting.clock.advance(2)
    assert (await setting.passage()).probe


async def test_messages_go_first_whatever_the_order_of_a_group() -> None:
    setting = Setting()
    await setting.ready()
    setting.clock.advance(60)
    group = [DELIVERED] * 3 + [FAILED] * 3 + [INBOUND] * 20
    answers = await setting.tenant.admit(group)
    assert all(isinstance(answer, Passage) and answer.wait_s == 0 for answer in answers[6:])
    assert all(isinstance(answer, Later) for answer in answers[:6])


async def test_a_failed_receipt_goes_before_a_delivered_one() -> None:
    setting = Setting()
    await setting.ready()
    setting.clock.advance(60)
    answers = await setting.tenant.admit([*[DELIVERED] * 30, *[FAILED] * 30])
    let_pass = [isinstance(answer, Passage) for answer in answers]
    # Of a burst of 25, failed receipts leave 8; delivered ones would leave 16.
    assert (sum(let_pass[:30]), sum(let_pass[30:])) == (0, 17)


async def test_delivered_receipts_leave_most_of_the_burst_to_others() -> None:
    setting = Setting()
    await setting.ready()
    setting.clock.advance(60)
    answers = await setting.tenant.admit([DELIVERED] * 30)
    assert sum(isinstance(answer, Passage) for answer in answers) == 9
    assert all(passage.wait_s == 0 for passage in await setting.passages(*[INBOUND] * 16))


async def test_receipts_told_to_come_later_do_not_all_come_at_once(setting: Setting) -> None:
    await setting.ready()
    waits = [answer.wait_s for answer in await setting.tenant.admit([DELIVERED] * 100) if isinstance(answer, Later)]
    assert len(waits) == 100
    # A new activation starts without burst: the first has to wait until 16 others could go, each next one for a slot.
    assert waits[0] == pytest.approx(16 / 4.5, abs=1e-4)
    assert waits[1] - waits[0] == pytest.approx(1 / 4.5, abs=1e-4)
    assert max(waits) == 5.0


async def test_a_receipt_is_asked_again_neither_at_once_nor_late(setting: Setting) -> None:
    await setting.ready()
    setting.clock.advance(60)
    await setting.passages(*[DELIVERED] * 9)
    setting.clock.advance(0.2)
    assert (await setting.later(DELIVERED)).wait_s == 0.2
    await setting.passages(*[INBOUND] * 40)
    assert (await setting.later(FAILED)).wait_s == 5.0


async def test_receipts_never_book_ahead_and_pass_once_messages_are_through(setting: Setting) -> None:
    await setting.ready()
    await setting.passages(*[INBOUND] * 10)
    later = await setting.later(FAILED)
    setting.clock.advance(later.wait_s)
    assert (await setting.passage(FAILED)).wait_s == 0


async def test_a_lane_of_receipts_is_not_read_while_many_messages_wait(setting: Setting) -> None:
    await setting.ready()
    await setting.passages(*[INBOUND] * 50)
    assert await setting.held(FAILED) == Held("messages go before receipts", 5.0)
    assert (await setting.passage()).wait_s > 10


async def test_receipts_and_messages_together_stay_within_the_limit(setting: Setting) -> None:
    await setting.ready()
    left: list[float] = []
    for second in range(240):
        group = [*[DELIVERED] * 3, *[FAILED] * 2, *[INBOUND] * (4 if second % 60 < 40 else 0)]
        answers = await setting.tenant.admit(group)
        left += [setting.clock() + answer.wait_s for answer in answers if isinstance(answer, Passage)]
        setting.clock.advance(1)
    assert max(sum(at <= other < at + 60 for other in left) for at in left) <= 300
    assert len(left) > 800


@pytest.mark.parametrize(
    ("settings", "cloud", "prefetch"),
    [
        pytest.param({}, Cloud.GENESYS, 135, id="Genesys by default"),
        pytest.param({}, Cloud.WHATSAPP, 2000, id="WhatsApp by default"),
        pytest.param({"genesys_requests_per_minute": 1}, Cloud.GENESYS, 1, id="one at least"),
        pytest.param({"genesys_requests_per_minute": 1_000_000}, Cloud.GENESYS, 2000, id="so many at most"),
        pytest.param({"whatsapp_messages_per_second": 10}, Cloud.WHATSAPP, 270, id="a slow number"),
    ],
)
async def test_a_lane_is_read_as_far_ahead_as_can_leave_soon(
    settings: dict[str, int], cloud: Cloud, prefetch: int
) -> None:
    assert await Setting(**settings).tenant.standing(cloud) == Ready(prefetch)


async def test_a_number_found_too_fast_is_used_at_half_its_rate(setting: Setting) -> None:
    for _ in range(20):  # all that had left by then
        setting.tenant.throttled(Cloud.WHATSAPP, "130429 Rate limit hit", 2.0, "130429")
    assert setting.tenant.status()["limits"]["whatsappEffectiveMessagesPerSecond"] == 40
    setting.clock.advance(2)
    assert (await setting.passage(OUTBOUND)).probe
    setting.tenant.accepted(Cloud.WHATSAPP)
    assert await setting.tenant.standing(Cloud.WHATSAPP) == Ready(1080)
    setting.tenant.throttled(Cloud.WHATSAPP, "130429 Rate limit hit", 2.0, "130429")
    assert setting.tenant.status()["limits"]["whatsappEffectiveMessagesPerSecond"] == 20
    setting.clock.advance(100)
    assert setting.tenant.status()["limits"]["whatsappEffectiveMessagesPerSecond"] == 80


async def test_a_number_paused_for_spam_keeps_its_rate(setting: Setting) -> None:
    setting.tenant.throttled(Cloud.WHATSAPP, "131048 Spam rate limit hit", 900.0, "131048")
    assert (await setting.held(OUTBOUND)).retry_after_s == 900
    assert setting.tenant.status()["limits"]["whatsappEffectiveMessagesPerSecond"] == 80


async def test_a_person_written_to_often_waits_and_nobody_else_does() -> None:
    setting = Setting(whatsapp_person_burst=2)
    other = replace(OUTBOUND, wa_id="447700900222")
    answers = await setting.tenant.admit([OUTBOUND, OUTBOUND, OUTBOUND, other])
    assert [isinstance(answer, Passage) for answer in answers] == [True, True, False, True]
    assert isinstance(answers[2], Later)
    assert answers[2].wait_s == pytest.approx(6, abs=0.1)
    setting.clock.advance(answers[2].wait_s)
    assert (await setting.passage(OUTBOUND)).wait_s == 0


async def test_who_waits_for_a_person_books_nothing_of_the_number() -> None:
    setting = Setting(whatsapp_messages_per_second=1, whatsapp_person_burst=1)
    await setting.passage(OUTBOUND)
    for _ in range(10):
        await setting.later(OUTBOUND)
    assert (await setting.passage(replace(OUTBOUND, wa_id="447700900222"))).wait_s == pytest.approx(1 / 0.9)


async def test_a_person_found_written_to_too_fast_is_left_alone_and_nobody_else_is(setting: Setting) -> None:
    pauses = []
    for _ in range(3):
        await setting.passage(OUTBOUND)
        setting.tenant.person_throttled(OUTBOUND.wa_id)
        pauses.append((await setting.later(OUTBOUND)).wait_s)
        await setting.passage(replace(OUTBOUND, wa_id="447700900222"))
        setting.clock.advance(pauses[-1] + 0.001)
    assert pauses == pytest.approx([1, 6, 16], abs=0.01)  # the second is the person's own pace


async def test_a_new_activation_knows_what_was_sent_to_a_person_lately(setting: Setting) -> None:
    setting.conversations.recent_sends = tuple(NOW - 1 for _ in range(45))
    await setting.ready()
    await setting.passage()  # the look-up is the customer's message's
    assert (await setting.later(OUTBOUND)).wait_s > 0
    setting.conversations.recent_sends = ()
    await setting.passage(replace(OUTBOUND, wa_id="447700900222"))


async def test_outside_the_window_a_free_message_is_refused_in_words_and_uses_nothing(setting: Setting) -> None:
    setting.conversations.inbound_at = NOW - DAY_S
    passage = await setting.passage(FREE_FORM)
    ended = "2026-11-23T12:00:00.000Z"
    assert passage.window_closed == f"WhatsApp's 24-hour window closed at {ended}: only a template may be sent"
    assert (passage.wait_s, passage.probe, passage.conversation_id) == (0, False, "conversation-1")
    setting.tenant.throttled(Cloud.WHATSAPP, "130429", 1.0)
    setting.clock.advance(1)
    assert not (await setting.passage(FREE_FORM)).probe
    assert (await setting.passage(OUTBOUND)).probe


@pytest.mark.parametrize(
    ("ask", "inbound_at"),
    [
        pytest.param(FREE_FORM, None, id="never heard of"),
        pytest.param(FREE_FORM, NOW - DAY_S + 1, id="a second before the end"),
        pytest.param(OUTBOUND, NOW - 30 * DAY_S, id="a template"),
        pytest.param(replace(FREE_FORM, is_message=False), None, id="a sign of life"),
    ],
)
async def test_what_whatsapp_may_take_passes(setting: Setting, ask: Ask, inbound_at: float | None) -> None:
    setting.conversations.inbound_at = inbound_at
    assert (await setting.passage(ask)).window_closed is None


async def test_the_window_is_that_of_the_time_of_leaving() -> None:
    setting = Setting(whatsapp_messages_per_second=1)
    setting.conversations.inbound_at = NOW - DAY_S + 5
    persons = [replace(FREE_FORM, wa_id=str(number)) for number in range(4)]
    await setting.passages(*persons)
    assert (await setting.passage(replace(FREE_FORM, wa_id="4"))).window_closed is None
    assert (await setting.passage(replace(FREE_FORM, wa_id="5"))).window_closed is not None


async def test_a_message_that_came_in_elsewhere_opens_the_window(setting: Setting) -> None:
    setting.conversations.inbound_at = NOW - 2 * DAY_S
    assert (await setting.passage(FREE_FORM)).window_closed is not None
    setting.conversations.inbound_at = NOW - 60
    assert (await setting.passage(FREE_FORM)).window_closed is None
    looked_up = len(setting.conversations.looked_up)
    assert (await setting.passage(FREE_FORM)).window_closed is None
    assert len(setting.conversations.looked_up) == looked_up


async def test_a_customers_own_message_opens_the_window_from_when_it_was_said(setting: Setting) -> None:
    await setting.ready()
    await setting.passage(replace(INBOUND, said_at=NOW - DAY_S + 100))
    assert (await setting.passage(FREE_FORM)).window_closed is None
    setting.conversations.inbound_at = NOW - DAY_S + 100
    setting.clock.advance(100)
    assert (await setting.passage(FREE_FORM)).window_closed is not None
    await setting.passage(replace(INBOUND, accepted_at=setting.clock(), said_at=setting.clock()))
    assert (await setting.passage(FREE_FORM)).window_closed is None


async def test_to_genesys_there_is_no_window(setting: Setting) -> None:
    setting.conversations.inbound_at = NOW - 2 * DAY_S
    await setting.ready()
    assert (await setting.passage(replace(INBOUND, is_free_form=True))).window_closed is None


async def test_limits_are_shown_with_how_far_ahead_they_are_booked(setting: Setting) -> None:
    await setting.ready()
    await setting.passages(*[INBOUND] * 46)
    assert setting.tenant.status()["limits"] == {
        "genesysRequestsPerMinute": 300,
        "genesysRequestsLastMinute": 5,
        "genesysBookedAheadSeconds": 10.2,
        "whatsappMessagesPerSecond": 80,
        "whatsappEffectiveMessagesPerSecond": 80,
        "whatsappMessagesLastMinute": 0,
        "whatsappBookedAheadSeconds": 0.0,
    }


async def test_a_tenant_whose_cache_was_cleared_looks_conversations_up_anew(setting: Setting) -> None:
    await setting.ready()
    await setting.passages(INBOUND)
    assert setting.tenant.status()["rememberedConversations"] == 1
    setting.tenant.clear_cache()
    assert setting.tenant.status()["rememberedConversations"] == 0
    await setting.passages(INBOUND)
    assert len(setting.conversations.opened) == 2
