"""Settings: from environment, then .env, then defaults; everything wrong is told at once, and no secret with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from config.settings import ROOT, Settings, load_settings
from trunkline.errors import ConfigurationError

NO_FILE = ROOT / "config" / "no.env"
CONTRACT_DEFAULTS = {
    "host": "127.0.0.1",
    "port": 3000,
    "public_url": "http://127.0.0.1:3000",
    "graph_api_url": "https://graph.facebook.com/v25.0",
    "genesys_region": "mypurecloud.com",
    "genesys_login_url": "",
    "genesys_api_url": "",
    "log_level": "INFO",
    "conversation_window_hours": 72,
}


def refusal(**environ: str) -> str:
    """What the refusal of these settings says."""
    with pytest.raises(ConfigurationError) as refused:
        load_settings(environ, NO_FILE)
    return str(refused.value)


def test_defaults_are_the_contracts() -> None:
    settings = load_settings({}, NO_FILE)
    assert {name: getattr(settings, name) for name in CONTRACT_DEFAULTS} == CONTRACT_DEFAULTS
    assert settings.trunkline_home == ROOT / ".trunkline"


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=3100\nLOG_LEVEL=DEBUG\n")
    settings = load_settings({"PORT": "3200"}, file)
    assert (settings.port, settings.log_level, settings.host) == (3200, "DEBUG", "127.0.0.1")


def test_an_empty_value_is_no_value() -> None:
    assert load_settings({"PORT": "", "GENESYS_REGION": ""}, NO_FILE) == load_settings({}, NO_FILE)


def test_variables_of_others_are_left_alone() -> None:
    assert load_settings({"PATH": "/bin", "RAY_ADDRESS": "auto"}, NO_FILE) == load_settings({}, NO_FILE)


def test_everything_that_is_wrong_is_named_in_one_message() -> None:
    words = refusal(
        PORT="http",
        LOG_LEVEL="LOUD",
        CONVERSATION_WINDOW_HOURS="0",
        GRAPH_API_URL="graph.facebook.com",
        CREDENTIALS_KEYS="short",
        TRUNKLINE_CALLS_IN_FLIGHT="-1",
        TRUNKLINE_COLOUR="blue",
        TRUNKLINE_SIZE="9",
    )
    for name in ("PORT 'http'", "LOG_LEVEL 'LOUD'", "CONVERSATION_WINDOW_HOURS '0'", "TRUNKLINE_CALLS_IN_FLIGHT '-1'"):
        assert f"\n  {name}: " in words
    assert "\n  GRAPH_API_URL 'graph.facebook.com': must start with http:// or https://" in words
    assert "\n  TRUNKLINE_COLOUR is not a setting" in words
    assert "\n  TRUNKLINE_SIZE is not a setting" in words
    assert "\n  CREDENTIALS_KEYS: key 1 is not 32 url-safe base64 bytes" in words


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("HOST", "", id="an empty host is the default"),
        pytest.param("TRUNKLINE_QUEUE_TYPE", "quorum", id="quorum queues"),
        pytest.param("TRUNKLINE_CLOUD_TIMEOUT_S", "2.5", id="a fraction"),
        pytest.param("GENESYS_API_URL", "http://127.0.0.1:3001/genesys/", id="a loopback override"),
    ],
)
def test_good_values_are_taken(name: str, value: str) -> None:
    assert load_settings({name: value}, NO_FILE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PUBLIC_URL", "ftp://files"),
        ("GENESYS_LOGIN_URL", "https://"),
        ("GENESYS_API_URL", "javascript:alert(1)"),
        ("LOG_LEVEL", "info "),
        ("CONVERSATION_WINDOW_HOURS", "8761"),
        ("TRUNKLINE_INBOUND_TRANSFORMERS", "0"),
        ("TRUNKLINE_OUTBOUND_TRANSFORMERS", "65"),
        ("TRUNKLINE_ACTOR_MEMORY_MB", "63"),
        ("TRUNKLINE_CELLS", "many"),
        ("TRUNKLINE_INTAKE_REPLICAS", "0"),
        ("TRUNKLINE_PREFETCH", "2001"),
        ("TRUNKLINE_CALLS_IN_FLIGHT", "0"),
        ("TRUNKLINE_CLOUD_TIMEOUT_S", "0"),
        ("TRUNKLINE_CLOUD_TIMEOUT_S", "61"),
        ("TRUNKLINE_QUEUE_TYPE", "stream"),
        ("TRUNKLINE_TRACES_ENDPOINT", "127.0.0.1:4318"),
        ("TRUNKLINE_TRACES_RATIO", "1.1"),
        ("TRUNKLINE_TRACES_RATIO", "-0.1"),
    ],
)
def test_a_bad_value_is_named_with_its_variable(name: str, value: str) -> None:
    assert f"{name} {value!r}: " in refusal(**{name: value})


def test_no_secret_is_echoed() -> None:
    secret = "very-secret-value"
    words = refusal(CREDENTIALS_KEYS=f"{Fernet.generate_key().decode()},{secret}", PORT="0", META_APP_SECRET=secret)
    assert "key 2" in words
    assert secret not in words
    settings = load_settings({"META_APP_SECRET": secret, "ADMIN_API_KEY": secret}, NO_FILE)
    assert secret not in repr(settings) + str(settings) + settings.model_dump_json()


def test_every_secret_is_typed_as_one() -> None:
    secret_words = ("secret", "token", "keys", "api_key", "headers")
    for name, field in Settings.model_fields.items():
        assert (field.annotation is SecretStr) == any(word in name for word in secret_words), name


def test_two_values_separated_by_a_comma_are_both_valid() -> None:
    keys = [Fernet.generate_key().decode() for _ in range(2)]
    settings = load_settings(
        {
            "META_APP_SECRET": "new, old",
            "META_VERIFY_TOKEN": "one,,two,",
            "CREDENTIALS_KEYS": ",".join(keys),
        },
        NO_FILE,
    )
    assert settings.app_secrets == ("new", "old")
    assert settings.verify_tokens == ("one", "two")
    assert settings.sealing_keys == tuple(keys)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://traces.example/otlp/v1/traces", "https://traces.example/otlp/v1/traces"),
    ],
)
def test_spans_go_to_the_path_of_otlp_unless_another_is_given(endpoint: str, url: str) -> None:
    assert load_settings({"TRUNKLINE_TRACES_ENDPOINT": endpoint}, NO_FILE).traces_url == url


def test_the_collector_gets_headers_by_name() -> None:
    settings = load_settings({"TRUNKLINE_TRACES_HEADERS": "api-key = abc=, Authorization=Basic dXNlcg=="}, NO_FILE)
    assert settings.traces_headers == {"api-key": "abc=", "Authorization": "Basic dXNlcg=="}


@pytest.mark.parametrize("headers", ["key-without-value", "a=1,=2", "a b=1", "a=", "a=\x7f"])
def test_headers_that_are_none_are_refused_without_their_values(headers: str) -> None:
    words = refusal(TRUNKLINE_TRACES_HEADERS=headers)
    assert "TRUNKLINE_TRACES_HEADERS: header " in words
    assert headers not in words


def test_the_public_url_follows_host_and_port_unless_given() -> None:
    assert load_settings({"HOST": "127.0.0.2", "PORT": "80"}, NO_FILE).public_url == "http://127.0.0.2:80"
    assert load_settings({"PUBLIC_URL": "https://hooks.example/"}, NO_FILE).public_url == "https://hooks.example"
