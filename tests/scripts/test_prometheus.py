"""Getting and starting Prometheus, with package managers that a test makes up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.launcher.errors import LauncherError
from scripts.launcher.ray_node import RayNode
from scripts.observability import prometheus
from scripts.observability.__main__ import main

APT_GET = """#!/bin/sh
echo "$@" >> {log}
[ "$1" = download ] && {download} && touch prometheus_1_amd64.deb
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin" && printf '#!/bin/sh\\n' > "$3/usr/bin/promtool" && chmod +x "$3/usr/bin/promtool"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Prometheus and without a package manager; its programs are in `bin`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(prometheus, "TOOLS", tmp_path / "tools")
    monkeypatch.setattr(
        "scripts.observability.prometheus.shutil.which", lambda name: str(programs / name) * (programs / name).exists()
    )
    return tmp_path


def put(machine: Path, name: str, text: str) -> None:
    path = machine / "bin" / name
    path.write_text(text)
    path.chmod(0o755)


def debian(machine: Path, download: str = "true") -> None:
    put(machine, "apt-get", APT_GET.format(log=machine / "asked", download=download))
    put(machine, "dpkg", DPKG)


def test_a_program_of_the_machine_is_taken(machine: Path) -> None:
    put(machine, "promtool", "#!/bin/sh\n")
    debian(machine)
    assert prometheus.obtain("promtool") == machine / "bin" / "promtool"
    assert not (machine / "asked").exists()


def test_else_it_is_fetched_once_and_the_machine_is_left_as_it_was(machine: Path) -> None:
    debian(machine)
    for _ in range(2):
        assert prometheus.obtain("promtool") == machine / "tools" / "prometheus" / "usr" / "bin" / "promtool"
    program, pages = (machine / "asked").read_text().splitlines()
    assert program.startswith("download ") and program.endswith(" prometheus")
    assert pages.startswith("download ") and "libjs-jquery " in pages


def test_old_lists_of_packages_are_renewed_by_root_only(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian(machine, download=f"[ -e {machine / 'renewed'} ]")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LauncherError):
        prometheus.obtain("promtool")
    assert "update" not in (machine / "asked").read_text()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    put(
        machine,
        "apt-get",
        f'#!/bin/sh\n[ "$1" = update ] && touch {machine / "renewed"} && exit\n'
        + APT_GET.format(log=machine / "asked", download=f"[ -e {machine / 'renewed'} ]").removeprefix("#!/bin/sh\n"),
    )
    assert prometheus.obtain("promtool").exists()


def test_without_a_package_manager_it_says_what_helps(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "1"]) == 1
    said = capsys.readouterr().err
    assert "apt-get install -y prometheus" in said and "brew install prometheus" in said


def test_it_listens_on_loopback_only_and_keeps_its_data_where_it_is_told() -> None:
    options = prometheus.options(Path("/usr/bin/prometheus"), Path("/c.yml"), Path("/data"), 9091)
    assert "--web.listen-address=127.0.0.1:9091" in options
    assert "--storage.tsdb.path=/data" in options
    assert not any("assets" in option for option in options)


def test_the_pages_of_a_fetched_one_are_found_beside_it(machine: Path) -> None:
    usr = machine / "tools" / "prometheus" / "usr"
    (usr / "share" / "prometheus" / "web").mkdir(parents=True)
    options = prometheus.options(usr / "bin" / "prometheus", Path("/c.yml"), Path("/data"), 9091)
    assert f"--web.local-assets={usr}/share/prometheus/web/" in options


def test_an_instance_with_another_home_is_scraped_too(tmp_path: Path) -> None:
    assert prometheus.configured(prometheus.USUAL_HOME, tmp_path) == prometheus.CONFIG
    written = prometheus.configured(tmp_path / "home", tmp_path).read_text()
    assert f"- {tmp_path}/home/ray/sessions/prom_metrics_service_discovery.json" in written
    assert f"- {prometheus.ALERTS}" in written
    assert "../" not in written


def test_rays_dashboard_does_not_take_trunkline_for_grafana(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = RayNode(tmp_path, dashboard=True, http_host="127.0.0.1", http_port=3000)
    monkeypatch.setattr(RayNode, "_ports", lambda self: dict.fromkeys(
        ("gcs", "dashboard_metrics", "autoscaler_metrics", "haproxy_stats", "haproxy_metrics", "serve_fallback_http",
         "serve_fallback_grpc", "replica_http"), 1))  # fmt: skip
    monkeypatch.delenv("RAY_GRAFANA_HOST", raising=False)
    assert node.environment()["RAY_GRAFANA_HOST"] == "DISABLED"
    monkeypatch.setenv("RAY_GRAFANA_HOST", "http://grafana:3000")
    assert node.environment()["RAY_GRAFANA_HOST"] == "http://grafana:3000"
