"""Keeps the last listener of a Serve replica off the network."""

from __future__ import annotations

import importlib
from typing import Any

from ray._private.ray_constants import ENABLE_RAY_CLUSTER

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"


def replica_host() -> str:
    """Where replicas and Serve's fallback proxy listen: loopback, except on a cluster, whose proxies must reach them.

    The public address is HAProxy's own; the launcher's wrapper gives it the port that HOST and PORT name.
    """
    return EVERYWHERE if ENABLE_RAY_CLUSTER else LOOPBACK


def keep_replica_on_loopback() -> None:
    """Make the replica that this process becomes listen on 127.0.0.1 only, where its whole node does.

    Serve binds the server for calls between deployments to `[::]`, whatever http_options say, and has no option for
    it. It is behind Ray's token, but what it reads is pickled, so it had better not be reachable at all. To be called
    by the module of the deployment's class: a replica imports that before it opens the server. On a cluster, whose
    nodes must reach each other, this does nothing.
    """
    if ENABLE_RAY_CLUSTER:
        return
    replica: Any = importlib.import_module("ray.serve._private.replica")
    bind = replica.add_port_to_grpc_server

    def bind_on_loopback(server: Any, address: str) -> int:
        port: int = bind(server, address.replace("[::]:", f"{LOOPBACK}:"))
        return port

    replica.add_port_to_grpc_server = bind_on_loopback
