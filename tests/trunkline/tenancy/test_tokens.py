"""A tenant's token: one fetch at a time, ahead of time, and never in a hot loop."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import Clock, LoginHost, MemoryTokenCache, until
from trunkline.errors import CredentialsRefused, StoreUnavailable, Throttled, Unavailable
from trunkline.tenancy.record import Secret
from trunkline.tenancy.tokens import Token, TokenKeeper


class Setting:
    """A keeper with its login host, cache and clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.host = LoginHost(self.clock)
        self.cache = MemoryTokenCache()
        self.keeper = self.another_keeper()

    def another_keeper(self) -> TokenKeeper:
        return TokenKeeper("acme", self.host, self.cache, self.clock)

    async def token(self) -> str:
        return (await self.keeper.current()).access_token.reveal()

    async def settle(self) -> None:
        """Let what goes on in the background end."""
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
def setting() -> Setting:
    return Setting()


async def test_a_hundred_callers_cost_one_fetch(setting: Setting) -> None:
    tokens = await asyncio.gather(*(setting.token() for _ in range(100)))
    assert set(tokens) == {"token-1"}
    assert setting.host.fetches == 1


async def test_a_caller_who_gives_up_takes_nobodys_token_along(setting: Setting) -> None:
    setting.host.gate = asyncio.Event()
    gone, stays = asyncio.create_task(setting.token()), asyncio.create_task(setting.token())
    await until(lambda: setting.host.fetches, "the fetch")
    gone.cancel()
    setting.host.gate.set()
    assert await stays == "token-1"
    assert setting.host.fetches == 1


async def test_a_good_token_is_used_again(setting: Setting) -> None:
    await setting.token()
    setting.clock.advance(899)
    assert await setting.token() == "token-1"
    await setting.settle()
    assert setting.host.fetches == 1


async def test_at_nine_tenths_of_its_life_its_successor_is_fetched_while_it_goes_on_serving(setting: Setting) -> None:
    await setting.token()
    setting.clock.advance(900)
    assert await setting.token() == "token-1"
    await setting.settle()
    assert await setting.token() == "token-2"
    assert setting.host.fetches == 2


async def test_a_failed_refresh_keeps_the_token_and_is_repeated_after_a_pause(setting: Setting) -> None:
    await setting.token()
    setting.clock.advance(900)
    setting.host.error = Unavailable("503")
    for _ in range(5):
        assert await setting.token() == "token-1"
        await setting.settle()
    assert setting.host.fetches == 2
    setting.host.error = None
    setting.clock.advance(2)
    await setting.token()
    await setting.settle()
    assert await setting.token() == "token-3"


async def test_a_throttled_refresh_waits_as_long_as_it_was_told_to(setting: Setting) -> None:
    await setting.token()
    setting.clock.advance(900)
    setting.cache.token = None  # it lives until the refresh time only
    setting.host.error = Throttled(60.0)
    for _ in range(11):
        await setting.token()
        await setting.settle()
        setting.clock.advance(5)
    assert setting.host.fetches == 2


async def test_an_expired_token_is_never_used(setting: Setting) -> None:
    await setting.token()
    setting.clock.advance(1000)
    assert setting.keeper.at_hand() is None
    assert await setting.token() == "token-2"


async def test_a_login_that_fails_is_not_asked_again_before_its_pause_is_over(setting: Setting) -> None:
    setting.host.error = CredentialsRefused("invalid_client")
    fetches = []
    for _ in range(40):
        with pytest.raises(CredentialsRefused, match="invalid_client"):
            await setting.token()
        fetches.append(setting.host.fetches)
        setting.clock.advance(1)
    # At 0, 2, 6, 14, 22, 30 and 38 seconds: ever less, up to once in eight.
    assert fetches[-1] == 7


async def test_credentials_put_right_at_the_far_side_are_found_out_within_ten_seconds(setting: Setting) -> None:
    setting.host.error = CredentialsRefused("invalid_client")
    for _ in range(30):
        with pytest.raises(CredentialsRefused):
            await setting.token()
        setting.clock.advance(1)
    setting.host.error = None
    waited_s = 0
    while True:
        try:
            await setting.token()
            break
        except CredentialsRefused:
            setting.clock.advance(1)
            waited_s += 1
    assert waited_s <= 10


async def test_a_refused_token_costs_one_refresh_however_many_calls_it_failed(setting: Setting) -> None:
    refused = await setting.token()
    await asyncio.gather(*(setting.keeper.refused(refused) for _ in range(20)))
    assert setting.keeper.at_hand() is None
    tokens = await asyncio.gather(*(setting.token() for _ in range(20)))
    assert set(tokens) == {"token-2"}
    assert setting.host.fetches == 2


async def test_a_late_refusal_of_an_older_token_changes_nothing(setting: Setting) -> None:
    refused = await setting.token()
    await setting.keeper.refused(refused)
    assert await setting.token() == "token-2"
    assert not await setting.keeper.refused(refused)
    assert await setting.token() == "token-2"
    assert setting.host.fetches == 2


async def test_a_refused_token_is_taken_out_of_the_cache_too(setting: Setting) -> None:
    refused = await setting.token()
    await setting.keeper.refused(refused)
    assert setting.cache.token is None


async def test_a_token_refused_as_soon_as_it_was_issued_is_not_fetched_in_a_hot_loop(setting: Setting) -> None:
    assert not await setting.keeper.refused(await setting.token())
    assert await setting.keeper.refused(await setting.token())
    with pytest.raises(CredentialsRefused):
        await setting.token()
    assert setting.host.fetches == 2


async def test_tokens_refused_long_apart_are_simply_replaced(setting: Setting) -> None:
    for _ in range(4):
        assert not await setting.keeper.refused(await setting.token())
        setting.clock.advance(400)
        await setting.token()
        setting.clock.advance(100)


async def test_a_new_activation_takes_the_cached_token(setting: Setting) -> None:
    await setting.token()
    setting.keeper = setting.another_keeper()
    assert await setting.token() == "token-1"
    assert setting.keeper.is_inherited
    assert setting.keeper.fetches == 0


async def test_a_cached_token_near_its_end_is_not_worth_taking(setting: Setting) -> None:
    await setting.token()
    setting.clock.advance(900)
    setting.keeper = setting.another_keeper()
    assert await setting.token() == "token-2"
    assert not setting.keeper.is_inherited


async def test_a_deleted_key_leads_to_a_fresh_token_within_five_seconds_of_use(setting: Setting) -> None:
    await setting.token()
    setting.cache.token = None
    for _ in range(6):
        await setting.token()
        await setting.settle()
        setting.clock.advance(1)
    assert await setting.token() == "token-2"
    assert setting.cache.token is not None
    assert setting.host.fetches == 2


async def test_a_cleared_cache_leads_to_a_fresh_token_at_the_next_use_and_the_old_one_serves_until_then(
    setting: Setting,
) -> None:
    await setting.token()
    setting.keeper.look_again()
    await setting.token()
    await setting.settle()
    assert setting.host.fetches == 1, "it is still cached"
    setting.cache.token = None
    setting.keeper.look_again()
    assert await setting.token() == "token-1"
    await setting.settle()
    assert await setting.token() == "token-2"


async def test_redis_away_is_no_outage_and_no_reason_to_ask_the_login_host(setting: Setting) -> None:
    setting.cache.away = True
    for _ in range(20):
        assert await setting.token() == "token-1"
        await setting.settle()
        setting.clock.advance(1)
    await setting.keeper.refused("token-1")
    assert await setting.token() == "token-2"
    assert setting.host.fetches == 2


async def test_changed_credentials_are_used_at_once_and_no_cached_token_with_them(setting: Setting) -> None:
    setting.host.error = CredentialsRefused("invalid_client")
    with pytest.raises(CredentialsRefused):
        await setting.token()
    setting.cache.token = Token(Secret("of the old client"), setting.clock(), setting.clock() + 1000)
    setting.keeper.credentials_changed(LoginHost(setting.clock, "other"))
    assert setting.keeper.trouble is None
    assert await setting.token() == "other-1"


async def test_a_fetch_with_the_old_credentials_leaves_nothing_behind(setting: Setting) -> None:
    setting.host.gate = asyncio.Event()
    old = asyncio.create_task(setting.token())
    await until(lambda: setting.host.fetches, "the fetch")
    setting.keeper.credentials_changed(LoginHost(setting.clock, "other"))
    assert await setting.token() == "other-1"
    setting.host.gate.set()
    await old
    assert await setting.token() == "other-1"
    assert setting.cache.token is not None
    assert setting.cache.token.access_token.reveal() == "other-1"


async def test_the_failure_of_the_old_credentials_does_not_pause_the_new(setting: Setting) -> None:
    setting.host.gate, setting.host.error = asyncio.Event(), CredentialsRefused("invalid_client")
    old = asyncio.create_task(setting.token())
    await until(lambda: setting.host.fetches, "the fetch")
    setting.keeper.credentials_changed(LoginHost(setting.clock, "other"))
    setting.host.gate.set()
    with pytest.raises(CredentialsRefused):
        await old
    assert await setting.token() == "other-1"


async def test_a_forced_token_is_fresh_even_during_a_pause(setting: Setting) -> None:
    await setting.token()
    assert (await setting.keeper.fresh()).access_token.reveal() == "token-2"
    setting.host.error = Unavailable("503")
    with pytest.raises(Unavailable):
        await setting.keeper.fresh()
    setting.host.error = None
    assert (await setting.keeper.fresh()).access_token.reveal() == "token-4"


async def test_a_cache_that_cannot_be_written_does_not_fail_the_fetch(setting: Setting) -> None:
    class Unwritable(MemoryTokenCache):
        async def save(self, token: Token) -> None:
            raise StoreUnavailable("Cannot connect to Redis")

    setting.cache = Unwritable()
    setting.keeper = setting.another_keeper()
    assert await setting.token() == "token-1"
