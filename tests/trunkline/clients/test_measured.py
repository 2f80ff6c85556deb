"""Calls to the clouds are counted by their answers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.fakes import Measured
from trunkline import metrics
from trunkline.clients.http import Answer
from trunkline.clients.measured import MeasuredPosts
from trunkline.errors import OutcomeUnknown, Unavailable
from trunkline.measuring import Recorder


class Posts:
    def __init__(self, answer: Answer | Exception) -> None:
        self._answer = answer

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


async def test_an_answer_is_passed_on_and_counted_by_its_status() -> None:
    recorder = Recorder()
    measured = Measured(recorder)
    answer = Answer(429, {}, b"")
    assert await MeasuredPosts(Posts(answer), recorder, "genesys").post("http://cloud", {}, b"") is answer
    assert measured(metrics.CLOUD_CALLS, "genesys", "429") == 1
    assert measured(metrics.CLOUD_CALL, "genesys") == 1


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        pytest.param(Unavailable("refused"), "not_sent", id="no connection"),
        pytest.param(OutcomeUnknown("reset"), "no_answer", id="no answer"),
    ],
)
async def test_a_call_without_an_answer_is_counted_as_what_it_was(error: Exception, counted: str) -> None:
    recorder = Recorder()
    measured = Measured(recorder)
    with pytest.raises(type(error)):
        await MeasuredPosts(Posts(error), recorder, "whatsapp").post("http://cloud", {}, b"")
    assert measured(metrics.CLOUD_CALLS, "whatsapp", counted) == 1
