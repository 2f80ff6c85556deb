"""Chapter 1, services do not start: stores that cannot be reached, ports that others hold, parts that are gone."""

from __future__ import annotations

from contextlib import suppress

from trunkline.doctor.facts import Facts, Unseen
from trunkline.doctor.machine import INSTANCE, PORTS
from trunkline.doctor.opinion import Check, Opinion, doubtful, ill, well, worst
from trunkline.doctor.router import ACTORS, HEALTH, Row
from trunkline.doctor.stores import POSTGRES, RABBITMQ, REDIS, StoreAnswer

_VARIABLES = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "rabbitmq": "RABBITMQ_URL"}
_NAMES = {"postgres": "PostgreSQL", "redis": "Redis", "rabbitmq": "RabbitMQ"}
_UNITS = {"postgres": "postgresql", "redis": "redis-server", "rabbitmq": "rabbitmq-server"}


def _router(facts: Facts) -> Opinion:
    answering = facts.of(HEALTH)
    if answering.health is not None:
        return well(f"{facts.scene.url} answers, and is {answering.health['status']}")
    remedy = ["start it: scripts/run"]
    evidence = [answering.error or "no answer"]
    with suppress(Unseen):
        instance = facts.of(INSTANCE)
        if instance.pid is not None:
            evidence.append(f"scripts/run lives (pid {instance.pid}); it may still be starting, or Ray is away")
            evidence += [f"its child {name} is gone" for name in instance.gone]
            remedy = [
                f"wait a minute, or stop it (kill {instance.pid}) and start it again: scripts/run",
                "scripts/trunkline logs --since 10m --level ERROR",
            ]
    if not facts.scene.is_here:
        remedy = [f"check the address in --url ({facts.scene.url}), and on its machine: scripts/trunkline doctor"]
    return ill(evidence, remedy)


def _port(facts: Facts) -> Opinion:
    port = facts.scene.settings.port
    listeners = facts.of(PORTS)
    if facts.of(HEALTH).health is not None:
        return well(f"port {port} is Trunkline's own")
    with suppress(Unseen):
        if (pid := facts.of(INSTANCE).pid) is not None:
            return well(f"port {port} is for the scripts/run that lives here (pid {pid})")
    mine, sandbox = listeners[port], listeners[port + 1]
    if mine is not None:
        stop = (
            f"stop it: kill {mine.pid}" if mine.pid is not None else f"see whose it is: sudo ss -ltnp 'sport = :{port}'"
        )
        return ill(
            [f"Port {port} is already in use by {mine}, which is not Trunkline"],
            [stop, f"or take another one: PORT={port + 100} scripts/run"],
        )
    if sandbox is not None:
        return doubtful(
            [f"Port {port + 1} is already in use by {sandbox}; the sandbox would listen there"],
            ["scripts/run --no-sandbox", f"or take other ports: PORT={port + 100} scripts/run"],
        )
    return well(f"port {port} is free")


def _store(name: str, answer: StoreAnswer, row: Row | None) -> Opinion:
    if answer.error is not None and not answer.is_full:
        return ill([f"{answer.error} (looked at {answer.where})"], _remedy(name, answer))
    seen = f"{answer.where} answers" + (f" in {answer.latency_ms:g} ms" if answer.latency_ms is not None else "")
    if answer.is_full:
        seen = f"{answer.where} is there, but has no connection left: see the check `connections`"
    if row is not None and row.get("status") == "unhealthy" and not answer.is_full:
        return ill(
            [seen, f"the router cannot reach it: {row.get('reason')}"],
            [
                f"the router runs with another {_VARIABLES[name]} than this command, or its host cannot reach it: "
                "restart the router with the right one (Ctrl-C, then scripts/run)",
                "scripts/trunkline logs --since 10m --level WARNING",
            ],
        )
    return well(seen)


def _remedy(name: str, answer: StoreAnswer) -> list[str]:
    variable, program = _VARIABLES[name], _NAMES[name]
    if answer.error is not None and ("refuses the user" in answer.error or "authentication failed" in answer.error):
        return [f"correct user and password in {variable}, in the environment or in .env, then scripts/run"]
    return [
        f"start {program} on that address: sudo systemctl start {_UNITS[name]}",
        f"or correct {variable}, or unset it to have scripts/run start a private {program}, then: scripts/run",
        f"a private one is started again by scripts/run itself within seconds; if not: "
        f"tail -n 50 .trunkline/logs/{program.lower()}.log",
    ]


def _component(facts: Facts, name: str) -> Row | None:
    """What the router says of a store, if it says anything."""
    with suppress(Unseen):
        return facts.of(HEALTH).component(name)
    return None


def _postgres(facts: Facts) -> Opinion:
    return _store("postgres", facts.of(POSTGRES), _component(facts, "postgres"))


def _redis(facts: Facts) -> Opinion:
    return _store("redis", facts.of(REDIS), _component(facts, "redis"))


def _rabbitmq(facts: Facts) -> Opinion:
    return _store("rabbitmq", facts.of(RABBITMQ), _component(facts, "rabbitmq"))


def _ray(facts: Facts) -> Opinion:
    answering = facts.of(HEALTH)
    rows = {name: answering.component(name) for name in ("ray", "tenants")}
    bad = [f"{name}: {row.get('reason')}" for name, row in rows.items() if row.get("status") != "healthy"]
    opinion = well("the supervisor and the cells answer")
    remedy = [
        "wait a few seconds: what hangs or died is started anew by itself",
        "scripts/trunkline logs --since 10m --level ERROR",
        "scripts/trunkline restart",
        "if Ray itself is gone, scripts/run starts it again; see .trunkline/logs/ray.log",
    ]
    if bad:
        opinion = ill(bad, remedy)
    with suppress(Unseen):
        silent = [
            f"{actor['name']} is {actor['state']}"
            for actor in facts.of(ACTORS)
            if actor["state"] != "alive" and actor["class"] != "TransformerActor"
        ]
        if silent:
            opinion = worst(opinion, ill(silent, remedy))
    return opinion


CHECKS = (
    Check("router", 1, "Trunkline answers", (HEALTH, INSTANCE), _router),
    Check("port", 1, "its port is free, or its own", (HEALTH, PORTS, INSTANCE), _port),
    Check("postgres", 1, "Postgres is reached", (POSTGRES, HEALTH), _postgres, also=(5,)),
    Check("redis", 1, "Redis is reached", (REDIS, HEALTH), _redis, also=(6,)),
    Check("rabbitmq", 1, "RabbitMQ is reached", (RABBITMQ, HEALTH), _rabbitmq, also=(7,)),
    Check("ray", 1, "Ray, supervisor and cells answer", (HEALTH, ACTORS), _ray, also=(8,)),
)
