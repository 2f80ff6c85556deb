"""A smallest raw ASGI application on Serve."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

import ray
from ray import serve

from actors.loopback import keep_replica_on_loopback

keep_replica_on_loopback()


class Echo:
    """Answers what it sees of a request."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while scope["type"] == "lifespan":
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
        seen = {"path": scope["path"], "root_path": scope["root_path"], "pid": os.getpid()}
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


@serve.ingress(Echo())
class EchoReplica:
    """Its replica."""


deployment: serve.Deployment = serve.deployment(name="echo", ray_actor_options={"num_cpus": 0})(EchoReplica)


def main(address: str, port: int) -> None:
    """Serve it below /echo, from a process of one's own."""
    ray.init(address=address, namespace="test", log_to_driver=False, logging_level=logging.WARNING)
    serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
    serve.run(deployment.bind(), name="echo", route_prefix="/echo")
