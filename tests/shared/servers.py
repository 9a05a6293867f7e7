"""Real servers, in folders of their own: PostgreSQL and PgBouncer from the system's packages, S3 from moto."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_S = 60.0
BUCKET = "conversations"
# What obstore reads of the environment (https://developmentseed.org/obstore/latest/authentication/).
S3_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
        return port


def postgres_program(name: str) -> str:
    """Return the path of a program of PostgreSQL's, which Debian keeps out of the way."""
    found = shutil.which(name)
    if found is None:
        found = str(max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3])))
    return found


class Postgres:
    """A server of PostgreSQL in a folder of its own."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder, self._host, self._port = folder, host, free_port(host)
        self._process: subprocess.Popen[bytes] | None = None
        self._user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
        if self._user is not None:
            shutil.chown(folder, self._user, self._user)
        self._run("initdb", "-A", "trust", "-N", "-U", "convlog").wait()
        with (folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all trust\n")

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"postgresql://convlog@{self._host}:{self._port}/postgres"

    def database(self, name: str) -> str:
        """Make a database, and return its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"{self.url.rpartition('/')[0]}/{name}"

    def start(self) -> None:
        """Start it."""
        # As in production, but for what it promises of a loss of power, which no test makes.
        options = ["-c", "fsync=off", "-c", f"listen_addresses={self._host}", "-p", str(self._port)]
        self._process = self._run("postgres", "-k", str(self.folder), *options)
        deadline = time.monotonic() + _START_S
        while True:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop it, without waiting for its clients."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _run(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        command = [postgres_program(program), "-D", str(self.folder / "data"), *options]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, user=self._user, stdout=log, stderr=log, cwd=self.folder)


@contextmanager
def postgres(host: str = "127.0.0.1") -> Iterator[Postgres]:
    """Run PostgreSQL."""
    with TemporaryDirectory(prefix="convlog-postgres-") as folder:
        server = Postgres(Path(folder), host)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def pooler(database: str) -> Iterator[str]:
    """Run PgBouncer before a database, with another connection for each transaction; yield the database's URL there."""
    server = conninfo_to_dict(database)
    name, port = server["dbname"], free_port()
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with TemporaryDirectory(prefix="convlog-pooler-") as folder:
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{name} = host={server['host']} port={server['port']} dbname={name} user={server['user']}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 4\nserver_round_robin = 1\n"
        )
        if user is not None:
            shutil.chown(folder, user)
        command = [str(shutil.which("pgbouncer")), str(settings)]
        with subprocess.Popen(command, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                url = f"postgresql://convlog@127.0.0.1:{port}/{name}"
                deadline = time.monotonic() + _START_S
                while True:
                    assert process.poll() is None
                    with suppress(psycopg.OperationalError):
                        psycopg.connect(url, connect_timeout=2).close()
                        break
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                yield url
            finally:
                process.terminate()


@contextmanager
def s3(host: str = "127.0.0.1") -> Iterator[str]:
    """Run moto's server with one bucket; yield its address."""
    port = free_port(host)
    command = [sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            address = f"http://{host}:{port}"
            _wait_for_s3(address, process)
            yield address
        finally:
            process.kill()


def _wait_for_s3(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        assert process.poll() is None, "moto has ended"
        with suppress(OSError):
            urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT"), timeout=5).close()
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)
