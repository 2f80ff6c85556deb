"""Calls to the clouds, counted and timed."""

from __future__ import annotations

import time
from collections.abc import Mapping

from trunkline import metrics
from trunkline.clients.http import Answer, Posts
from trunkline.errors import OutcomeUnknown, Unavailable
from trunkline.measuring import Recorder, Tally


class MeasuredPosts:
    """Posts through another, and records how that went under the name `cloud`."""

    def __init__(self, posts: Posts, recorder: Recorder, cloud: str) -> None:
        self._posts = posts
        self._recorder = recorder
        self._cloud = cloud
        self._took = recorder.spread(metrics.CLOUD_CALL, cloud)
        self._answers: dict[int, Tally] = {}

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """The answer to one POST; raises what the other does."""
        began = time.perf_counter()
        try:
            answer = await self._posts.post(url, headers, content)
        except Unavailable:
            self._recorder.count(metrics.CLOUD_CALLS, self._cloud, "not_sent")
            raise
        except OutcomeUnknown:
            self._recorder.count(metrics.CLOUD_CALLS, self._cloud, "no_answer")
            raise
        finally:
            self._took.add(time.perf_counter() - began)
        answered = self._answers.get(answer.status)
        if answered is None:
            answered = self._recorder.tally(metrics.CLOUD_CALLS, self._cloud, str(answer.status))
            self._answers[answer.status] = answered
        answered.value += 1
        return answer
