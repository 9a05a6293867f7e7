"""Three hosts, each a network namespace with a proxy, its exporter and a spool; one database and one store for all.

Run inside a namespace of its own, as root; prints what came of it as JSON. 200 dialogues go from host to host at every
turn. Meanwhile one host is killed with all its processes, one is cut off from the database, and the store refuses all.
"""

from __future__ import annotations

import difflib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from servers import BUCKET, S3_VARIABLES, postgres, s3

from otel_convlog.store.reading import iterate_turns

DATABASE, STORE = "192.0.2.1", "192.0.2.2"  # a network for documentation (RFC 5737), which exists in here only
DIALOGUES, TURNS = 200, 5
AWAY_S = 10.0
_WAIT_S = 120.0
_HERE = Path(__file__).parent


class Host:
    """A namespace with a proxy in it."""

    def __init__(self, number: int, folder: Path, name: str, environment: dict[str, str]) -> None:
        self.name, self.address = name, f"192.0.2.{10 + number}"
        self.url = f"http://{self.address}:8000"
        self.spool = folder / f"spool-{number}"
        self._one_machine = folder / "one-machine"
        self._environment = {**os.environ, **environment, "OTEL_EXPORTER_CONVLOG_SPOOL": str(self.spool)}

    def start(self) -> None:
        """Start its proxy."""
        command = [sys.executable, str(_HERE / "host.py"), self.address, "8000", str(self._one_machine)]
        subprocess.Popen(["ip", "netns", "exec", self.name, *command], env=self._environment)
        deadline = time.monotonic() + 30
        while not self.answers():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def answers(self) -> bool:
        """Say whether its proxy is there."""
        try:
            urllib.request.urlopen(self.url, timeout=1).close()
        except urllib.error.HTTPError:  # it knows no GET
            return True
        except OSError:
            return False
        return True

    def processes(self) -> list[int]:
        """The ids of all its processes."""
        return [int(line) for line in _ip("netns", "pids", self.name).split()]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End all its processes at once."""
        for process in self.processes():
            os.kill(process, number)

    def cut_off(self, kind: str, address: str, *, cut: bool) -> None:
        """Let nothing through to an address any more, or again."""
        _ip("-n", self.name, "route", "add" if cut else "del", kind, f"{address}/32")


class Client:
    """Leads dialogues, each request to another host than the one before; asks another where one does not answer."""

    def __init__(self, hosts: list[Host]) -> None:
        self._hosts = hosts
        self._lock = threading.Lock()
        self.acknowledged: dict[str, int] = {}  # turn ids, and their dialogues
        self.retried: set[int] = set()

    def lead(self, dialogue: int) -> None:
        """Lead one dialogue to its end."""
        dice = random.Random(dialogue)
        messages: list[dict[str, str]] = []
        for turn in range(TURNS):
            messages.append({"role": "user", "content": f"Question {turn} of dialogue {dialogue}, which is no other's"})
            answer = self._ask(dialogue, (dialogue + turn) % len(self._hosts), messages)
            messages.append(answer["choices"][0]["message"])
            self.acknowledged[answer["turn_id"]] = dialogue
            time.sleep(dice.uniform(0.0, 3.0))

    def _ask(self, dialogue: int, first: int, messages: list[dict[str, str]]) -> Any:
        body = json.dumps({"model": "test", "messages": messages}).encode()
        for attempt in range(1_000):
            host = self._hosts[(first + attempt) % len(self._hosts)]
            try:
                request = urllib.request.Request(host.url, body, {"content-type": "application/json"})
                with urllib.request.urlopen(request, timeout=30) as response:
                    return json.load(response)
            except OSError:
                self.retried.add(dialogue)
                time.sleep(0.1)
        raise AssertionError("no host answers")


def main(folder: Path, names: list[str]) -> None:
    """Let it all happen."""
    with ExitStack() as stack:
        database = stack.enter_context(postgres(DATABASE))
        address = stack.enter_context(s3(STORE))
        environment = {
            **S3_VARIABLES,
            "AWS_ENDPOINT_URL": address,
            "OTEL_EXPORTER_CONVLOG_DIRECTORY": f"s3://{BUCKET}/log",
            "OTEL_EXPORTER_CONVLOG_CATALOG": database.url,
            "OTEL_EXPORTER_CONVLOG_QUIET_MS": "3000",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        os.environ.update(environment)
        hosts = [Host(number, folder, name, environment) for number, name in enumerate(names)]
        for host in hosts:
            host.start()
        for host in hosts:
            stack.callback(host.kill)
        client = Client(hosts)
        with ThreadPoolExecutor(DIALOGUES) as pool:
            dialogues = [pool.submit(client.lead, number) for number in range(DIALOGUES)]
            _misfortune(hosts)
            for dialogue in dialogues:
                dialogue.result()
        _wait_for_the_rest(hosts, database.url, client)
        copy = folder / "copy"
        command = ["copy", f"s3://{BUCKET}/log", str(copy), "--from-catalog", database.url]
        subprocess.run([sys.executable, "-m", "otel_convlog.cli", *command], check=True, stdout=subprocess.DEVNULL)
        sys.stdout.write(json.dumps(_compared(copy, folder / "one-machine", client)))


def _misfortune(hosts: list[Host]) -> None:
    time.sleep(2)
    hosts[0].kill()
    hosts[1].cut_off("blackhole", DATABASE, cut=True)
    time.sleep(AWAY_S / 2)
    for host in hosts:
        host.cut_off("unreachable", STORE, cut=True)
    time.sleep(AWAY_S / 2)
    hosts[1].cut_off("blackhole", DATABASE, cut=False)
    hosts[0].start()
    time.sleep(AWAY_S / 2)
    for host in hosts:
        host.cut_off("unreachable", STORE, cut=False)


def _wait_for_the_rest(hosts: list[Host], url: str, client: Client) -> None:
    """Wait until everything is delivered, and all documents are made."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        waiting = [path for host in hosts for path in host.spool.glob("????-??-??/*.json")]
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT count(*) FILTER (WHERE pending), sum(turn_count) FROM convlog_files"
            ).fetchone()
        if row is not None and not waiting and not row[0] and row[1] >= len(client.acknowledged):
            return
        assert time.monotonic() < deadline, (waiting[:3], row)
        time.sleep(0.5)


def _compared(shared: Path, one_machine: Path, client: Client) -> dict[str, object]:
    found: dict[str, list[str]] = {}
    conversations: dict[int, set[str]] = {}
    for path in shared.glob("????-??-??/*.json"):
        for turn in iterate_turns(path):
            turn_id = str(turn.value["turn_id"])
            found.setdefault(turn_id, []).append(path.name)
            if turn_id in client.acknowledged:
                conversations.setdefault(client.acknowledged[turn_id], set()).add(path.name)
    there, expected = _documents(shared), _documents(one_machine)
    differing = [name for name in there.keys() | expected.keys() if there.get(name) != expected.get(name)]
    # What was killed before its answer went out may have reached one of the two logs only.
    unanswered = {
        name
        for name in differing
        if not {*_turns(shared / name), *_turns(one_machine / name)} <= set(client.acknowledged)
    }
    return {
        "acknowledged": len(client.acknowledged),
        "missing": sorted(set(client.acknowledged) - set(found)),
        "twice": sorted(turn_id for turn_id, files in found.items() if len(files) > 1),
        "split": {number: sorted(names) for number, names in conversations.items() if len(names) > 1},
        "merged": len(conversations) - len({name for names in conversations.values() for name in names}),
        "documents": len(there),
        "differing": {name: _difference(there, expected, name) for name in sorted(set(differing) - unanswered)},
        "unanswered": sorted(unanswered),
        "retried": sorted(client.retried),
    }


def _documents(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.glob("????-??-??/*.json")}


def _difference(there: dict[str, bytes], expected: dict[str, bytes], name: str) -> list[str]:
    """The lines in which a document differs from what one machine has written."""
    one_machine, shared = (where.get(name, b"").decode().splitlines() for where in (expected, there))
    return list(difflib.unified_diff(one_machine, shared, n=1, lineterm=""))[:40]


def _turns(path: Path) -> list[str]:
    return [str(turn.value["turn_id"]) for turn in iterate_turns(path)] if path.exists() else []


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
