"""A shared log on Azure Blob Storage, as Microsoft's emulator has it."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from environments import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "shared"))

from servers import free_port, postgres
from shared_place import Place, dialogue, interleaved

from otel_convlog.shared.away import ChangedError
from otel_convlog.shared.objects import Objects, turn_object

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

_ACCOUNT, _CONTAINER = "convlog", "conversations"
_MAKE_CONTAINER = (
    "const {BlobServiceClient, StorageSharedKeyCredential} = require('@azure/storage-blob');"
    "const [url, account, key, name] = process.argv.slice(1);"
    "new BlobServiceClient(url, new StorageSharedKeyCredential(account, key)).getContainerClient(name).create()"
    ".catch(error => { console.error(error); process.exit(1); });"
)


@contextmanager
def azurite(folder: Path, key: str) -> Iterator[str]:
    """Run the emulator; yield the address of its account, with a container in it."""
    options = {"NODE_OPTIONS": "--use-openssl-ca"} if sys.platform == "linux" else {}
    packages = ["azurite", "@azure/storage-blob"]
    run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *packages, **options)
    port = free_port()
    command = [str(folder / "node_modules" / ".bin" / "azurite-blob"), "--blobHost", "127.0.0.1"]
    command += ["--blobPort", str(port), "--location", str(folder / "blobs"), "--silent", "--skipApiVersionCheck"]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{_ACCOUNT}:{key}"}
    with subprocess.Popen(command, env=environment) as process:
        try:
            url = f"http://127.0.0.1:{port}/{_ACCOUNT}"
            deadline = time.monotonic() + 60
            while True:
                made = subprocess.run(
                    ["node", "-e", _MAKE_CONTAINER, url, _ACCOUNT, key, _CONTAINER],
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if made.returncode == 0:
                    break
                assert time.monotonic() < deadline, made.stderr
                time.sleep(0.5)
            yield url
        finally:
            process.terminate()


def test_a_log_on_azure_is_the_log_of_one_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    with azurite(tmp_path / "node", key) as url, postgres() as server:
        for variable, value in {
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": key,
            "AZURE_STORAGE_ENDPOINT": url,
            "AZURE_ALLOW_HTTP": "true",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }.items():
            monkeypatch.setenv(variable, value)
        place = Place(f"az://{_CONTAINER}/log", server.database("azure"), tmp_path)
        with closing(place):
            spans = interleaved([dialogue(f"dialogue {number}", 4) for number in range(3)])
            machines = [place.machine(f"spool-{number}") for number in range(2)]
            for number, span in enumerate(spans):
                machines[number % 2].write(span)
                machines[number % 2].deliver()
                if number == len(spans) // 2:
                    place.make_documents()
            place.make_documents()
            assert place.documents() == place.written_by_one_machine(*spans)
            objects = Objects(place.store)
            with closing(objects):
                name = turn_object("one", "2026-11-24", b"first")
                objects.put_turns([(name, b"first")]).wait()
                objects.put_turns([(name, b"second")]).wait()
                assert list(objects.get_turns([(name, 5)])) == [b"first"]
                foreign = tmp_path / "foreign.json"
                foreign.write_text("{}")
                for known in (None, '"0x0" '):
                    with pytest.raises(ChangedError):
                        objects.put_document(next(iter(place.documents())), foreign, known)
