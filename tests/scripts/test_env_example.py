"""config/.env.example is complete."""

from config.settings import ROOT, Settings, load_settings
from scripts.launcher import env_example

EXAMPLE = ROOT / "config" / ".env.example"


def test_the_example_is_what_the_settings_say() -> None:
    assert EXAMPLE.read_text() == env_example.render(), "python -m scripts.launcher.env_example > config/.env.example"


def test_the_example_lists_every_setting_with_its_help() -> None:
    text = EXAMPLE.read_text()
    for name, field in Settings.model_fields.items():
        assert f"\n# {field.description}\n# {name.upper()}=" in text


def test_the_example_uncommented_is_the_default(tmp_path: object) -> None:
    lines = (line.removeprefix("# ") for line in EXAMPLE.read_text().splitlines())
    values = dict(line.split("=", 1) for line in lines if line.split("=")[0].isupper())
    values["TRUNKLINE_HOME"] = str(ROOT / values["TRUNKLINE_HOME"])
    assert load_settings(values, ROOT / "config" / "no.env") == load_settings({}, ROOT / "config" / "no.env")
