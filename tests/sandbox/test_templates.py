"""The templates that a business has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.world import BIRCH, CUSTOMER, World

DECLARED = [{"name": "order_update", "languages": ["en_GB", "de"], "header": 0, "body": 2, "buttons": 1}]


def template(name: str = "order_update", language: str = "en_GB", body: int = 2, buttons: int = 1) -> dict[str, Any]:
    components: list[dict[str, Any]] = []
    if body:
        components.append({"type": "body", "parameters": [{"type": "text", "text": str(n)} for n in range(body)]})
    for index in range(buttons):
        parameters = [{"type": "text", "text": "4711"}]
        components.append({"type": "button", "sub_type": "url", "index": str(index), "parameters": parameters})
    content = {"name": name, "language": {"code": language}, "components": components}
    return {"messaging_product": "whatsapp", "to": CUSTOMER, "type": "template", "template": content}


async def declare(world: World, only: bool = False) -> None:
    body = {"tenantId": "alder", "templates": DECLARED, "only": only}
    assert (await world.ask("POST", "/sandbox/templates", body)).status == 200


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(template(), None, id="as declared"),
        pytest.param(template(language="de"), None, id="another language"),
        pytest.param(template(language="fr"), 132001, id="a language that it lacks"),
        pytest.param(template(body=1), 132000, id="too few parameters"),
        pytest.param(template(body=0), 132000, id="no parameters"),
        pytest.param(template(buttons=2), 132000, id="too many buttons"),
        pytest.param(template("other", body=5), None, id="one that was not declared"),
        pytest.param(template("other", "xx"), 132001, id="in no language of this world"),
    ],
)
async def test_a_template_is_sent_as_it_was_declared(world: World, sent: dict[str, Any], code: int | None) -> None:
    await declare(world)

    assert (await world.send(sent)).json.get("error", {}).get("code") == code


async def test_other_templates_may_not_exist_at_all(world: World) -> None:
    await declare(world, only=True)

    refused = await world.send(template("other"))

    assert (refused.status, refused.json["error"]["code"]) == (404, 132001)
    assert (await world.send(template())).status == 200
    other_tenant = await world.send(template("other"), BIRCH["accessToken"], BIRCH["phoneNumberId"])
    assert other_tenant.status == 200


async def test_templates_of_an_unknown_tenant_are_refused(world: World) -> None:
    body = {"tenantId": "nobody", "templates": DECLARED}

    assert (await world.ask("POST", "/sandbox/templates", body)).status == 404
