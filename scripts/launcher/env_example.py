"""config/.env.example, written from the settings: python -m scripts.launcher.env_example > config/.env.example"""

from __future__ import annotations

from pydantic import SecretStr

from config.settings import ROOT, Settings

HEADER = """\
# Every variable that Trunkline reads, with its help. Copy this file to .env and uncomment what you change.
# The environment wins over .env; what neither names has the value shown here.
"""


def render() -> str:
    """The file's text: one commented line per setting, below its help."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        text = default.get_secret_value() if isinstance(default, SecretStr) else str(default)
        shown = text.replace(str(ROOT), ".") if name == "trunkline_home" else text
        rows.append(f"\n# {field.description}\n# {name.upper()}={shown}\n")
    return HEADER + "".join(rows)


if __name__ == "__main__":
    print(render(), end="")
