"""`trunkline doctor`."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from config.settings import Settings, load_settings
from trunkline.cli.api import Place, Tenant, router
from trunkline.cli.output import Json, print_json
from trunkline.doctor.facts import ASK_WITHIN_S, Scene
from trunkline.doctor.opinion import Finding, Verdict
from trunkline.tenancy.record import TENANT_ID_PATTERN

COLOURS = {
    Verdict.PASS: typer.colors.GREEN,
    Verdict.WARN: typer.colors.YELLOW,
    Verdict.FAIL: typer.colors.RED,
    Verdict.SKIPPED: typer.colors.BRIGHT_BLACK,
}


def doctor(
    context: typer.Context,
    tenant: Tenant = None,
    chapter: Annotated[
        list[int] | None, typer.Option(metavar="N", min=1, max=9, help="Only this chapter of the guide, 1 to 9.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Only this check; --list names them.")] = None,
    max_age: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="So long a message may wait.")] = 60.0,
    list_checks: Annotated[bool, typer.Option("--list", help="List the checks.")] = False,
    as_json: Json = False,
) -> None:
    """Examine the running system by the troubleshooting guide; exit code 1 if a check fails.

    With --tenant, checks about tenants look at that one, and at it more closely. Works also while Trunkline is down.
    """
    # Only now: what the checks need takes a quarter of a second to import.
    from trunkline.doctor import guide

    if tenant is not None and not re.fullmatch(TENANT_ID_PATTERN, tenant):
        raise typer.BadParameter(f"{tenant!r} cannot be a tenant's id: see tenants list", param_hint="--tenant")
    checks = guide.chosen(chapter or (), _known(only, {check.id for check in guide.CHECKS}))
    if list_checks:
        _print_checks([{"id": each.id, "chapter": each.chapter, "title": each.title} for each in checks], as_json)
        return
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it logs every refusal, which the checks tell better
    scene = _scene(context, tenant, max_age)
    findings = guide.examine(scene, checks)
    verdict = guide.overall(findings)
    if as_json:
        print_json(_as_json(scene, findings, verdict))
    else:
        _print(guide.CHAPTERS, findings, verdict)
    if verdict is Verdict.FAIL:
        raise typer.Exit(1)


def _scene(context: typer.Context, tenant: str | None, max_age_s: float) -> Scene:
    settings = load_settings()
    url = context.ensure_object(Place).url or settings.public_url
    api = router(context, ASK_WITHIN_S)
    return Scene(settings, api, url, url in _own_urls(settings), datetime.now(UTC), tenant, max_age_s)


def _own_urls(settings: Settings) -> set[str]:
    """How the router on this machine is reached, going by the settings."""
    hosts = (settings.host, "127.0.0.1", "localhost")
    return {settings.public_url, *(f"http://{host}:{settings.port}" for host in hosts)}


def _known(given: list[str] | None, known: set[str]) -> Sequence[str]:
    for id in given or ():
        if id not in known:
            names = ", ".join(sorted(known))
            raise typer.BadParameter(f"there is no check {id!r}; known are {names}", param_hint="--only")
    return given or ()


def _as_json(scene: Scene, findings: list[Finding], verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": verdict.value,
        "at": scene.now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "url": scene.url,
        "tenantId": scene.tenant,
        "checks": [
            {
                "id": finding.check.id,
                "chapter": finding.check.chapter,
                "title": finding.check.title,
                "verdict": finding.opinion.verdict.value,
                "evidence": list(finding.opinion.evidence),
                "remedy": list(finding.opinion.remedy),
            }
            for finding in findings
        ],
    }


def _print(chapters: Mapping[int, str], findings: list[Finding], verdict: Verdict) -> None:
    for number, title in chapters.items():
        of_chapter = [finding for finding in findings if finding.check.chapter == number]
        if of_chapter:
            typer.echo(typer.style(f"{number}. {title}", bold=True))
        for finding in of_chapter:
            _print_finding(finding)
    counts = [
        f"{count} {each.value}"
        for each in Verdict
        if (count := sum(finding.opinion.verdict is each for finding in findings))
    ]
    typer.echo(f"{typer.style(verdict.value, fg=COLOURS[verdict], bold=True)}: {', '.join(counts)}")


def _print_finding(finding: Finding) -> None:
    opinion = finding.opinion
    typer.echo(f"  {typer.style(opinion.verdict.value.ljust(7), fg=COLOURS[opinion.verdict])}  "
               f"{finding.check.id.ljust(17)}  {finding.check.title}")  # fmt: skip
    for line in opinion.evidence:
        typer.echo(f"           {line}")
    for number, line in enumerate(opinion.remedy, start=1):
        typer.echo(f"           {typer.style(f'{number}.', bold=True)} {line}")


def _print_checks(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['chapter']}  {row['id'].ljust(17)}  {row['title']}")
