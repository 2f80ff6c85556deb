"""Secrets and what people write are planted everywhere, everything happens to them, and then everything is searched."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from scripts.faults.bodies import change, genesys_webhook, meta_webhook, sign_as_genesys, sign_as_meta
from scripts.faults.platform import MetaAppSecrets, Platform, TenantUnderTest, unmade_tenant
from tests.platform.secrecy import CONTENT, Written, columns, log_files, redis_keys, titles, told_by_ray
from tests.waiting import until
from trunkline.logs import read_logs

pytestmark = pytest.mark.ray

CUSTOMER = "447700900123"


@dataclass(frozen=True)
class Planted:
    """What must not be found: secrets anywhere, texts but in the columns that hold content."""

    secrets: list[str]
    texts: list[str]


class Planter:
    """Makes secrets and texts that can be recognised, and remembers them."""

    def __init__(self) -> None:
        self.planted = Planted([], [])

    def secret(self, what: str) -> str:
        """A secret that nothing else looks like."""
        self.planted.secrets.append(f"{what}-{secrets.token_hex(12)}")
        return self.planted.secrets[-1]

    def text(self, what: str) -> str:
        """Something that a person wrote."""
        self.planted.texts.append(f"{what}-{secrets.token_hex(8)}")
        return self.planted.texts[-1]


class Story:
    """Everything that may happen to secrets and texts, once."""

    def __init__(self, platform: Platform, planter: Planter) -> None:
        self.platform = platform
        self.secret = planter.secret
        self.text = planter.text
        self.planted = planter.planted

    def tenant(self, **wrong: str) -> TenantUnderTest:
        """A tenant with secrets that are marked; those in `wrong` are not what the clouds know."""
        made = unmade_tenant()
        whatsapp = {**made.body["whatsapp"], "accessToken": self.secret("access")}
        genesys = {
            **made.body["genesys"],
            "clientSecret": self.secret("client"),
            "webhookSecret": self.secret("webhook"),
        }
        account = {**made.account, **whatsapp, "genesys": genesys}
        body = {
            **made.body,
            "whatsapp": {**whatsapp, **{name: wrong[name] for name in wrong if name in whatsapp}},
            "genesys": {**genesys, **{name: wrong[name] for name in wrong if name in genesys}},
        }
        tenant = replace(made, webhook_secret=genesys["webhookSecret"], account=account, body=body)
        self.platform.register(tenant)
        answer = self.platform.api.post("/tenants", json=body)
        assert answer.status_code == 201
        self.planted.secrets.append(answer.json()["apiKey"])
        return replace(tenant, api_key=answer.json()["apiKey"])

    # --- what goes well ---

    def messages_both_ways(self, tenant: TenantUnderTest) -> None:
        platform = self.platform
        platform.send(tenant, "customer", CUSTOMER, self.text("question"), name=self.text("name"))
        picture = {"mime": "image/jpeg", "caption": self.text("caption"), "filename": self.text("file")}
        platform.send(tenant, "customer", CUSTOMER, kind="image", content=picture)
        platform.send(tenant, "agent", CUSTOMER, self.text("answer"))
        arrived = platform.arrived(tenant, "genesys_message", 2)
        platform.arrived(tenant, "graph_send", 1)
        self._remember_links(arrived)

    def _remember_links(self, arrived: Sequence[dict[str, Any]]) -> None:
        """A link to a file opens it for whoever has it."""
        for event in arrived:
            for part in json.loads(event["body"]).get("content", []):
                self.planted.secrets.append(urlsplit(part["attachment"]["url"]).path.removeprefix("/media/"))

    def looks_of_operators(self, tenant: TenantUnderTest) -> None:
        platform, own = self.platform, {"X-API-Key": tenant.api_key}
        token = platform.api.get("/auth/token?force=true", headers={"X-Tenant-ID": tenant.tenant_id}).json()
        assert "…" in token["token"] or "..." in token["token"] or "*" in token["token"]
        found = platform.api.get("/state/conversation", params={"whatsappNumber": CUSTOMER}, headers=own).json()
        platform.api.get(f"/state/conversation/{found['conversationId']}/messages", headers=own)
        platform.api.get(f"/tenants/{tenant.tenant_id}/credentials/genesys")
        made = platform.api.post(f"/tenants/{tenant.tenant_id}/api-keys", json={"name": "another"}).json()
        self.planted.secrets.append(made["apiKey"])
        platform.api.get("/dead-letters", headers={"X-API-Key": made["apiKey"]})
        platform.change(tenant, whatsapp={"accessToken": self.secret("new-access")})
        platform.change(tenant, whatsapp={"accessToken": tenant.body["whatsapp"]["accessToken"]})

    def apps(self) -> None:
        app = MetaAppSecrets(f"app-{secrets.token_hex(4)}", self.secret("app"), self.secret("verify"))
        body = {"app": app.app, "appSecret": app.app_secret, "verifyToken": app.verify_token}
        assert self.platform.api.post("/meta-apps", json=body).status_code == 201
        tenant = unmade_tenant()
        raw = meta_webhook(tenant, [(CUSTOMER, f"wamid.{secrets.token_hex(8)}", self.text("for-another-app"))])
        headers = {"X-Hub-Signature-256": sign_as_meta(app.app_secret, raw)}
        self.platform.api.post(f"/webhook/whatsapp/{app.app}", content=raw, headers=headers)

    # --- what does not ---

    def refused_messages(self, tenant: TenantUnderTest) -> None:
        platform = self.platform
        for kind, cloud in (("genesys_message", "genesys"), ("graph_send", "meta")):
            platform.fault(cloud=cloud, tenantId=tenant.tenant_id, kind=kind, fail_status=400, fail_count=1)
        platform.send(tenant, "customer", CUSTOMER, self.text("refused-question"))
        platform.send(tenant, "agent", CUSTOMER, self.text("refused-answer"))
        self._unshowable(tenant)
        self._dead(tenant, 3)
        headers = {"X-Tenant-ID": tenant.tenant_id}
        platform.api.post("/dead-letters/replay", json={"reason": "rejected"}, headers=headers)

    def failing_clouds(self, tenant: TenantUnderTest) -> None:
        platform, mine = self.platform, {"tenantId": tenant.tenant_id}
        for trouble in ({"fail_status": 500, "fail_count": 1}, {"lost_answer_rate": 1.0}, {"garbage": 500}):
            platform.fault(cloud="genesys", kind="genesys_message", **mine, **trouble)
            platform.fault(cloud="meta", kind="graph_send", **mine, **trouble)
            asked = platform.send(tenant, "customer", CUSTOMER, self.text("troubled-question"))["id"]
            answered = platform.send(tenant, "agent", CUSTOMER, self.text("troubled-answer"))["id"]
            for message in (asked, answered):
                until(partial(self._tried, tenant, message), 15, "an attempt")
            platform.fault(cloud="genesys", kind="genesys_message", **mine, **dict.fromkeys(trouble))
            platform.fault(cloud="meta", kind="graph_send", **mine, **dict.fromkeys(trouble))

    def wrong_credentials(self) -> None:
        for name in ("clientSecret", "accessToken"):
            tenant = self.tenant(**{name: self.secret(f"wrong-{name}")})
            self.platform.send(tenant, "customer", CUSTOMER, self.text("held-question"))
            self.platform.send(tenant, "agent", CUSTOMER, self.text("held-answer"))
            until(partial(self._is_held, tenant), 15, "a lane held")
            self.platform.api.get("/auth/token", headers={"X-Tenant-ID": tenant.tenant_id})

    def forged_and_broken_webhooks(self, tenant: TenantUnderTest) -> None:
        platform = self.platform
        forged = meta_webhook(tenant, [(CUSTOMER, "wamid.forged", self.text("forged"))])
        for path, signature in (
            ("/webhook/whatsapp", sign_as_meta(self.secret("guessed"), forged)),
            ("/webhook/whatsapp", self.secret("no-signature")),
            ("/webhook/genesys", sign_as_genesys(self.secret("guessed"), forged)),
        ):
            platform.api.post(path, content=forged, headers={"X-Hub-Signature-256": signature})
        self._signed(b'{"half": "' + self.text("half").encode())
        self._signed(json.dumps({"entry": [{"changes": self.text("a-string-for-a-list")}]}).encode())
        element = change(tenant, [(CUSTOMER, f"wamid.{secrets.token_hex(8)}", self.text("beside-a-bad-one"))])
        element["value"]["messages"].append({"id": 7, "text": self.text("without-a-type"), "from": ["?"]})
        self._signed(json.dumps({"object": "whatsapp_business_account", "entry": [{"changes": [element]}]}).encode())
        nobody = unmade_tenant()
        self._signed(meta_webhook(nobody, [(CUSTOMER, f"wamid.{secrets.token_hex(8)}", self.text("for-nobody"))]))
        handshake = {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": self.secret("wrong-verify")}
        assert platform.api.get("/webhook/whatsapp", params=handshake).status_code == 403

    def refused_calls(self, tenant: TenantUnderTest) -> None:
        platform, path = self.platform, f"/tenants/{tenant.tenant_id}"
        bad = {"whatsapp": {"accessToken": self.secret("rejected-access"), "phoneNumberId": "not a number!"}}
        assert platform.api.patch(path, json=bad).status_code == 400
        misplaced = {"accessToken": self.secret("misplaced"), "genesys": self.secret("a-string-for-an-object")}
        assert platform.api.patch(path, json=misplaced).status_code == 400
        unsealable = {**tenant.body["genesys"], "clientSecret": self.secret("with-a-\n-break")}
        assert platform.api.put(f"{path}/credentials/genesys", json=unsealable).status_code == 400
        half = b'{"name": "' + self.secret("half-json").encode()
        assert platform.api.patch(path, content=half, headers={"Content-Type": "application/json"}).status_code == 400
        stranger = {"X-API-Key": self.secret("tl_unknown")}
        assert platform.api.get("/tenants", headers=stranger).status_code == 401
        assert platform.api.get(f"/media/{self.secret('no-link')}").status_code == 404
        taken = {**tenant.body, "tenantId": f"t-{secrets.token_hex(5)}"}
        assert platform.api.post("/tenants", json=taken).status_code == 409

    # --- parts ---

    def _unshowable(self, tenant: TenantUnderTest) -> None:
        body = json.loads(genesys_webhook(tenant, CUSTOMER, secrets.token_hex(16), ""))
        body |= {"type": "Structured", "content": [{"contentType": "Form", "form": {"title": self.text("form")}}]}
        raw = json.dumps(body).encode()
        headers = {"X-Hub-Signature-256": sign_as_genesys(tenant.webhook_secret, raw)}
        assert self.platform.api.post("/webhook/genesys", content=raw, headers=headers).status_code == 200

    def _signed(self, raw: bytes) -> None:
        signature = sign_as_meta(self.platform.default_app.app_secret, raw)
        self.platform.api.post("/webhook/whatsapp", content=raw, headers={"X-Hub-Signature-256": signature})

    def _dead(self, tenant: TenantUnderTest, count: int) -> None:
        def enough() -> bool:
            answer = self.platform.api.get("/dead-letters", headers={"X-Tenant-ID": tenant.tenant_id})
            return len(answer.json()["deadLetters"]) >= count

        until(enough, 15, f"{count} dead letters")

    def _tried(self, tenant: TenantUnderTest, message: str) -> bool:
        answer = self.platform.api.get(f"/messages/{message}/trace", headers={"X-Tenant-ID": tenant.tenant_id})
        return answer.status_code == 200 and bool(answer.json()["attempts"])

    def _is_held(self, tenant: TenantUnderTest) -> bool:
        lanes = self.platform.api.get(f"/tenants/{tenant.tenant_id}/status").json()["lanes"]
        return any(lane["held"] for lane in lanes.values())


@pytest.fixture(scope="module")
def planted(platform: Platform) -> Iterator[Planted]:
    """Everything that was planted, after everything has happened to it."""
    story = Story(platform, Planter())
    tenant = story.tenant()
    story.messages_both_ways(tenant)
    story.looks_of_operators(tenant)
    story.apps()
    story.refused_messages(tenant)
    story.failing_clouds(story.tenant())
    story.wrong_credentials()
    story.forged_and_broken_webhooks(tenant)
    story.refused_calls(tenant)
    for name in ("ADMIN_API_KEY", "CREDENTIALS_KEYS", "META_APP_SECRET", "META_VERIFY_TOKEN"):
        story.planted.secrets.append(platform.environment[name])
    for name in ("DATABASE_URL", "REDIS_URL", "RABBITMQ_URL"):
        story.planted.secrets.append(str(urlsplit(platform.environment[name]).password))
    story.planted.secrets.append((platform.home / "ray" / "token").read_text())
    yield story.planted
    platform.fault(clear=True)


def found(words: Sequence[str], places: Iterator[Written]) -> list[str]:
    """Which of the words was written down where."""
    marks = [(word, word.encode()) for word in words]
    return sorted({f"{word} in {place.where}" for place in places for word, mark in marks if mark in place.content})


def test_no_log_file_has_a_secret_or_what_people_wrote(platform: Platform, planted: Planted) -> None:
    places = list(log_files(platform))
    assert {"logs/postgresql.log", "logs/rabbitmq.log", "logs/ray.log"} <= {place.where for place in places}
    for event in (b"delivery.dead", b"webhook.signature_refused", b"token.unavailable", b"key.created"):
        assert any(b'"event":"' + event in place.content for place in places)  # it did happen, and was logged
    assert found([*planted.secrets, *planted.texts, CUSTOMER], iter(places)) == []


def test_every_line_about_a_delivery_names_its_tenant_and_message(platform: Platform, planted: Planted) -> None:
    lines = [line for line in read_logs(platform.home) if line.event.startswith("delivery.")]
    assert {"delivery.dead", "delivery.unknown"} <= {line.event for line in lines}
    assert [line for line in lines if line.tenant is None or line.message_id is None] == []


def test_redis_has_no_secret_and_nothing_that_people_wrote(platform: Platform, planted: Planted) -> None:
    places = list(redis_keys(platform))
    assert any(b":oauth:token" in place.content for place in places)
    assert found([*planted.secrets, *planted.texts], iter(places)) == []


def test_postgres_has_no_secret_anywhere_and_texts_where_content_is_kept(platform: Platform, planted: Planted) -> None:
    everything = list(columns(platform))
    places = (Written(f"{table}.{column}", content) for table, column, content in everything)
    assert found(planted.secrets, places) == []
    kept = (Written(f"{table}.{column}", content) for table, column, content in everything)
    holding = {where.rpartition(" ")[2] for where in found(planted.texts, kept)}
    assert {place for place in holding if _table_of(place) is None} == set()
    assert {"messages", "dead_letters"} <= {_table_of(place) for place in holding}


def test_rays_head_and_command_lines_show_no_secret_and_nothing_that_people_wrote(
    platform: Platform, planted: Planted
) -> None:
    told = told_by_ray(platform)
    assert b"TenantCell" in told.content
    assert found([*planted.secrets, *planted.texts], iter([told, *titles(platform)])) == []


def _table_of(place: str) -> str | None:
    """The table whose content may lie in this column; a partition is called after its table."""
    found_table, _, found_column = place.partition(".")
    for table, column in CONTENT:
        if found_column == column and (found_table == table or found_table.startswith(f"{table}_")):
            return table
    return None
