from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from three_hosts import DATABASE, DIALOGUES, STORE, TURNS

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_TIMEOUT_S = 300


@contextmanager
def _network(count: int) -> Iterator[tuple[str, list[str]]]:
    """Network namespaces: one with the servers, and one for each host, all on one wire that leads nowhere else."""
    lan = f"convlog-{os.getpid()}"
    hosts = [f"{lan}-{number}" for number in range(count)]
    made: list[str] = []
    try:
        for name in (lan, *hosts):
            _ip("netns", "add", name)
            made.append(name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", lan, "link", "add", "wire", "type", "bridge")
        _ip("-n", lan, "link", "set", "wire", "up")
        for address in (DATABASE, STORE):
            _ip("-n", lan, "address", "add", f"{address}/24", "dev", "wire")
        for number, name in enumerate(hosts):
            _ip("-n", lan, "link", "add", f"to{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", lan, "link", "set", f"to{number}", "master", "wire", "up")
            _ip("-n", name, "address", "add", f"192.0.2.{10 + number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
        yield lan, hosts
    finally:
        for name in made:
            _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@pytest.mark.crash
def test_dialogues_that_hop_between_hosts_are_what_one_machine_would_have_written(tmp_path: Path) -> None:
    with _network(3) as (lan, hosts):
        command = ["ip", "netns", "exec", lan, sys.executable, str(_HERE / "three_hosts.py"), str(tmp_path), *hosts]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_TIMEOUT_S, check=True)
    seen = json.loads(done.stdout)
    assert seen["acknowledged"] == DIALOGUES * TURNS
    assert seen["missing"] == []
    assert seen["twice"] == []
    assert seen["split"] == {}
    assert seen["merged"] == 0
    assert seen["differing"] == {}
    assert seen["documents"] == DIALOGUES
    assert seen["retried"], "nobody has noticed that a host was killed"
