"""`scripts/bench --profile`: what is read from samples, how they are drawn, and a real process that is sampled."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.benchmark import flamegraph, stacks
from scripts.benchmark.options import parse
from scripts.benchmark.sampling import Sampler
from scripts.benchmark.stacks import Frame
from scripts.benchmark.stage import StageFailed

LOOP = Frame("run_forever", "asyncio/base_events.py")
LANE = Frame("LaneRunner._receive", "trunkline/delivery/lane.py")
PIKA = Frame("encode", "pika/spec.py")
RAW = """\
run_forever (asyncio/base_events.py:593) 10
run_forever (asyncio/base_events.py:593);LaneRunner._receive (trunkline/delivery/lane.py:170) 60
run_forever (asyncio/base_events.py:593);LaneRunner._receive (trunkline/delivery/lane.py:170);encode (pika/spec.py:9) 30
"""
# It lets a process that is not its ancestor look into it, as an ordinary user too, says so, and works until told.
WORKING = """\
import ctypes
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_long(-1))
print("working", flush=True)
def spin():
    while True:
        sum(range(1000))
spin()
"""


def test_stacks_are_read_with_their_numbers() -> None:
    assert stacks.read_samples(RAW) == Counter({(LOOP,): 10, (LOOP, LANE): 60, (LOOP, LANE, PIKA): 30})


def test_a_frame_without_a_file_keeps_its_name() -> None:
    assert stacks.read_samples("process 7;<built-in> 2\n") == Counter(
        {(Frame("process 7", ""), Frame("<built-in>", "")): 2}
    )


def test_who_works_himself_is_told_from_who_has_it_done() -> None:
    samples = stacks.read_samples(RAW)
    assert [(cost.what, cost.share) for cost in stacks.self_costs(samples, 2)] == [(str(LANE), 0.6), (str(PIKA), 0.3)]
    assert stacks.cumulative_costs(samples, 1)[0] == stacks.Cost(str(LANE), 0.9, is_ours=True)


def test_the_loop_around_everything_is_no_cost() -> None:
    assert str(LOOP) not in {cost.what for cost in stacks.cumulative_costs(stacks.read_samples(RAW), 10)}


def test_a_function_that_calls_itself_is_counted_once() -> None:
    samples = {(LOOP,): 5, (LOOP, LANE, LANE, LANE): 5}
    assert stacks.cumulative_costs(samples, 1) == [stacks.Cost(str(LANE), 0.5, is_ours=True)]


def test_packages_tell_whose_code_is_at_work() -> None:
    costs = stacks.package_costs(stacks.read_samples(RAW), 3)
    assert [(cost.what, cost.share, cost.is_ours) for cost in costs] == [
        ("trunkline", 0.6, True), ("pika", 0.3, False), ("asyncio", 0.1, False),
    ]  # fmt: skip


def test_a_flame_graph_is_a_picture_whose_boxes_are_as_wide_as_their_shares() -> None:
    drawn = flamegraph.draw("a <process>", stacks.read_samples(RAW))
    boxes = {
        group.find("{*}title").text: float(group.find("{*}rect").get("width"))  # type: ignore[union-attr, arg-type]
        for group in xml.etree.ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}g")
    }
    assert boxes[f"{LOOP}: 100 samples, 100.0%"] == pytest.approx(flamegraph.WIDTH - 2 * flamegraph.MARGIN, abs=0.1)
    assert boxes[f"{PIKA}: 30 samples, 30.0%"] == pytest.approx(0.3 * boxes[f"{LOOP}: 100 samples, 100.0%"], abs=0.1)


@pytest.fixture
def working() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", WORKING], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"working\n"
    yield process.pid
    process.kill()
    process.communicate()


def test_a_process_at_work_is_sampled(working: int, tmp_path: Path) -> None:
    with Sampler([working], tmp_path) as sampler:
        seen = Path(f"/proc/{working}/stat")
        began = _ticks(seen)
        while _ticks(seen) < began + 30:  # 0.3 s of its processor time
            pass
    (sampled,) = sampler.sampled
    assert any(cost.what.startswith("spin") for cost in stacks.self_costs(sampled.samples, 3))
    assert sampled.cpu_s >= sampled.python_cpu_s >= 0.3
    assert "spin" in sampler.raw_file(working).read_text()


def test_what_is_no_python_process_is_told_in_words(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            with (
                pytest.raises(StageFailed, match=f"cannot look into process {other.pid}"),
                Sampler([other.pid], tmp_path),
            ):
                pass
        finally:
            other.kill()


def test_more_messages_are_sent_where_they_are_sampled() -> None:
    assert parse(["--profile"]).messages > parse([]).messages
    assert parse(["--profile", "--messages", "500"]).messages == 500


def _ticks(stat: Path) -> int:
    return int(stat.read_text().rpartition(")")[2].split()[11])
