"""The message templates that businesses have: names, languages and numbers of parameters."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sandbox.graph_errors import Refused

# as long as a tenant has declared nothing, every name exists in these
_LANGUAGES = (
    "af sq ar az bn bg ca zh_CN zh_HK zh_TW hr cs da nl en en_GB en_US et fil fi fr ka de el gu ha he hi hu id ga it "
    "ja kn kk rw_RW ko ky_KG lo lv lt mk ms ml mr nb fa pl pt_BR pt_PT pa ro ru sr sk sl es es_AR es_ES es_MX sw sv ta "
    "te th tr uk ur uz vi zu"
)
LANGUAGES = frozenset(_LANGUAGES.split(" "))
NO_TEMPLATE = "Template name does not exist in the translation"


class Template(BaseModel):
    """A template as it was approved; numbers of parameters that are left out are not checked."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    languages: list[str] = Field(min_length=1)
    header: int | None = Field(None, ge=0)
    body: int | None = Field(None, ge=0)
    buttons: int | None = Field(None, ge=0)  # buttons that take a parameter


class TenantTemplates(BaseModel):
    """All templates of a tenant; with `only` there are no others."""

    model_config = ConfigDict(extra="forbid")

    tenantId: str
    templates: list[Template]
    only: bool = False


class Templates:
    """Templates of all tenants."""

    def __init__(self) -> None:
        self._of: dict[str, TenantTemplates] = {}

    def put(self, templates: TenantTemplates) -> None:
        """Replace the templates of a tenant."""
        self._of[templates.tenantId] = templates

    def check(self, tenant_id: str, sent: dict[str, Any]) -> None:
        """Raise Refused unless the tenant has this template, and it takes so many parameters."""
        declared = self._of.get(tenant_id)
        named = [each for each in declared.templates if each.name == sent["name"]] if declared is not None else []
        language = sent["language"]["code"]
        if not named:
            if (declared is not None and declared.only) or language not in LANGUAGES:
                raise Refused(132001, f"{NO_TEMPLATE}: {sent['name']} in {language}")
            return
        template = next((each for each in named if language in each.languages), None)
        if template is None:
            raise Refused(132001, f"{NO_TEMPLATE}: {sent['name']} in {language}")
        _check_counts(template, sent.get("components", []))


def _check_counts(template: Template, components: list[dict[str, Any]]) -> None:
    for part, expected in (("header", template.header), ("body", template.body)):
        given = sum(len(each.get("parameters", [])) for each in components if each["type"] == part)
        if expected is not None and given != expected:
            raise Refused(132000, f"{part}: number of params ({given}) does not match the expected number ({expected})")
    buttons = sum(each["type"] == "button" for each in components)
    if template.buttons is not None and buttons != template.buttons:
        raise Refused(132000, f"buttons: {buttons} with params do not match the expected number ({template.buttons})")
