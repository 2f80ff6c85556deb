"""Calls to the clouds, counted and timed."""

from __future__ import annotations

import time
from collections.abc import Mapping

from trunkline import metrics
from trunkline.clients.http import Answer, Posts
from trunkline.errors import Unavailable
from trunkline.measuring import Recorder


class MeasuredPosts:
    """Posts through another, and records how that went under the name `cloud`."""

    def __init__(self, posts: Posts, recorder: Recorder, cloud: str) -> None:
        self._posts = posts
        self._recorder = recorder
        self._cloud = cloud

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """The answer to one POST; raises what the other does."""
        began = time.perf_counter()
        answered = "no_answer"
        try:
            answer = await self._posts.post(url, headers, content)
            answered = str(answer.status)
            return answer
        except Unavailable:
            answered = "not_sent"
            raise
        finally:
            self._recorder.count(metrics.CLOUD_CALLS, self._cloud, answered)
            self._recorder.observe(metrics.CLOUD_CALL, time.perf_counter() - began, self._cloud)
