"""Settings: every knob, typed, documented, checked at start. The only reader of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from trunkline.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "TRUNKLINE_"
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+ *= *[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class Settings(BaseModel):
    """What a process of Trunkline runs with: the environment, then `.env`, then these defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="where webhooks and the admin API listen")
    port: int = Field(3000, ge=1, le=65535, description="their port")
    public_url: str = Field("", description="base of links that Genesys fetches; http://HOST:PORT when empty")

    database_url: str = Field("", description="Postgres; found or private when empty")
    redis_url: str = Field("", description="Redis; found or private when empty")
    rabbitmq_url: str = Field("", description="RabbitMQ; found or private when empty")

    meta_verify_token: SecretStr = Field(
        SecretStr(""),
        description="verify token of the default Meta app; two values separated by a comma are both valid",
    )
    meta_app_secret: SecretStr = Field(
        SecretStr(""), description="app secret of the default Meta app; two values separated by a comma are both valid"
    )
    graph_api_url: str = Field("https://graph.facebook.com/v25.0", description="base of Meta's Send API and media")
    genesys_region: str = Field("mypurecloud.com", description="Genesys Cloud region of tenants that name none")
    genesys_login_url: str = Field("", description="replaces https://login.<region> for every tenant (tests, sandbox)")
    genesys_api_url: str = Field("", description="replaces https://api.<region> for every tenant (tests, sandbox)")

    admin_api_key: SecretStr = Field(SecretStr(""), description="the first admin key; made on the first run when empty")
    credentials_keys: SecretStr = Field(
        SecretStr(""), description="comma-separated Fernet keys that seal secrets at rest: the first seals, all open"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="what is logged; DEBUG of our own lines only"
    )
    conversation_window_hours: int = Field(
        72, ge=1, le=8760, description="after so many idle hours a conversation is closed; tenants may set their own"
    )

    trunkline_home: Path = Field(ROOT / ".trunkline", description="keys, logs and the private stores' data")
    trunkline_inbound_transformers: int = Field(
        1, ge=1, le=64, description="size of the pool that serves Genesys, unless it was set by hand"
    )
    trunkline_outbound_transformers: int = Field(
        1, ge=1, le=64, description="size of the pool that serves WhatsApp, unless it was set by hand"
    )
    trunkline_cells: int = Field(1, ge=1, le=64, description="actors that share the tenants between them")
    trunkline_intake_replicas: int = Field(1, ge=1, le=64, description="Serve replicas that take webhooks")
    trunkline_actor_memory_mb: int = Field(
        512, ge=64, le=1_000_000, description="megabytes that an actor may have; more is shown as too much"
    )
    trunkline_prefetch: int = Field(200, ge=1, le=2000, description="deliveries a lane holds unacknowledged")
    trunkline_calls_in_flight: int = Field(20, ge=1, le=1000, description="calls at once per tenant and cloud")
    trunkline_cloud_timeout_s: float = Field(
        10.0, gt=0, le=60, description="seconds until a call to a cloud is given up"
    )
    trunkline_media_limit_mb: int = Field(
        10_240, ge=200, le=100_000_000, description="megabytes of customers' files kept; the oldest go first"
    )
    trunkline_media_link_hours: int = Field(24, ge=1, le=168, description="how long a link to a customer's file lives")
    trunkline_queue_type: Literal["classic", "quorum"] = Field("classic", description="type of the lanes' queues")
    trunkline_traces_endpoint: str = Field(
        "", description="collector of OpenTelemetry traces (OTLP over HTTP), e.g. http://127.0.0.1:4318; off when empty"
    )
    trunkline_traces_ratio: float = Field(1.0, ge=0, le=1, description="the part of all messages that is traced")
    trunkline_traces_headers: SecretStr = Field(
        SecretStr(""), description="headers for the collector: name=value, separated by commas"
    )

    @field_validator("credentials_keys")
    @classmethod
    def _keys_are_fernet_keys(cls, value: SecretStr) -> SecretStr:
        for number, key in enumerate(_parts(value), start=1):
            try:
                Fernet(key)
            except (ValueError, TypeError):
                raise ValueError(
                    f"key {number} is not 32 url-safe base64 bytes; make one with: "
                    'python3 -c "import base64,os;print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
                ) from None
        return value

    @field_validator("trunkline_traces_headers")
    @classmethod
    def _headers_have_names_and_values(cls, value: SecretStr) -> SecretStr:
        for number, part in enumerate(_parts(value), start=1):
            if not _HEADER.fullmatch(part):
                raise ValueError(f"header {number} is not name=value")
        return value

    @field_validator("graph_api_url", "genesys_login_url", "genesys_api_url", "public_url", "trunkline_traces_endpoint")
    @classmethod
    def _urls_have_a_scheme(cls, value: str) -> str:
        if value and not re.match(r"^https?://[^/]", value):
            raise ValueError("must start with http:// or https:// and name a host")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _public_url_follows_host(self) -> Settings:
        if not self.public_url:
            object.__setattr__(self, "public_url", f"http://{self.host}:{self.port}")
        return self

    @property
    def media_folder(self) -> Path:
        """Where customers' files are kept."""
        return self.trunkline_home / "media"

    @property
    def cloud_urls(self) -> tuple[str, ...]:
        """The clouds' hosts that are set here: files are loaded from them whatever their address."""
        return tuple(url for url in (self.graph_api_url, self.genesys_api_url, self.genesys_login_url) if url)

    @property
    def traces_url(self) -> str:
        """Where spans are sent: the endpoint, with OTLP's own path unless it names one."""
        endpoint = self.trunkline_traces_endpoint
        return endpoint if urlsplit(endpoint).path else f"{endpoint}/v1/traces"

    @property
    def traces_headers(self) -> dict[str, str]:
        """What the collector is sent with the spans."""
        pairs = (part.partition("=") for part in _parts(self.trunkline_traces_headers))
        return {name.strip(): value.strip() for name, _, value in pairs}

    @property
    def app_secrets(self) -> tuple[str, ...]:
        """Secrets of the default Meta app, the current one first."""
        return _parts(self.meta_app_secret)

    @property
    def verify_tokens(self) -> tuple[str, ...]:
        """Verify tokens of the default Meta app, the current one first."""
        return _parts(self.meta_verify_token)

    @property
    def sealing_keys(self) -> tuple[str, ...]:
        """Keys that open secrets at rest; the first seals."""
        return _parts(self.credentials_keys)


def _parts(value: SecretStr) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.get_secret_value().split(",") if part.strip())


def load_settings(environ: Mapping[str, str] | None = None, env_file: Path | None = None) -> Settings:
    """Settings from the environment and `.env`; raises ConfigurationError naming everything that is wrong at once."""
    known = set(Settings.model_fields)
    environ = os.environ if environ is None else environ
    dotenv = env_file if env_file is not None else ROOT / ".env"
    values = {**_read_env_file(dotenv), **environ}
    problems = [
        f"{name} is not a setting: remove it, or see config/.env.example for the names"
        for name in sorted(values)
        if name.startswith(PREFIX) and name.lower() not in known
    ]
    given = {name.lower(): value for name, value in values.items() if name.lower() in known and value != ""}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        for issue in error.errors():
            name = str(issue["loc"][0]).upper() if issue["loc"] else "settings"
            shown = "" if not issue["loc"] or _is_secret(name) else f" {issue['input']!r}"
            problems.append(f"{name}{shown}: {issue['msg'].removeprefix('Value error, ')}")
    if problems:
        raise ConfigurationError("these settings cannot be used:\n  " + "\n  ".join(problems))
    return settings


def _is_secret(name: str) -> bool:
    field = Settings.model_fields.get(name.lower())
    return field is not None and field.annotation is SecretStr


def _read_env_file(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path).items() if value is not None} if path.exists() else {}
