"""``collect``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from otel_convlog.cli.output import Output, note
from otel_convlog.cli.places import extras, place_options, resolved
from otel_convlog.listening import in_url, is_loopback, listen_at
from otel_convlog.settings import PREFIX

_PORT = 4318  # https://opentelemetry.io/docs/specs/otlp/#otlphttp-default-port
_BODY_BYTES = 64 << 20  # as much as opentelemetry-exporter-otlp-proto-http sends at once
_TOKEN_VARIABLE = f"{PREFIX}COLLECT_TOKEN"


@click.command("collect")
@place_options
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen; default: this machine alone.")
@click.option("--port", type=click.IntRange(0, 65535), default=_PORT, show_default=True, help="0: any free one.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Holds the token that senders must have. Default: {_TOKEN_VARIABLE}.",
)
@click.option(
    "--max-body-bytes", type=click.IntRange(1), default=_BODY_BYTES, show_default=True, help="Of one request, unpacked."
)
@click.option(
    "--body-timeout",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    help="Of a body, in seconds.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address as a JSON object.")
def command(
    directory: Path | str | None,
    catalog: str | None,
    host: str,
    port: int,
    token_file: Path | None,
    max_body_bytes: int,
    body_timeout: float,
    as_json: bool,
) -> None:
    """Take spans by OTLP/HTTP and write their conversations, until Ctrl-C or SIGTERM.

    For programs in any language, and for an OpenTelemetry Collector. Without a token it serves this machine alone.
    """
    with extras("collect"):
        from otel_convlog.collecting import Limits, serve  # noqa: PLC0415  of an extra
    token = _token(token_file)
    if token is None and not is_loopback(host):
        raise click.UsageError(f"to listen at {host}, set {_TOKEN_VARIABLE}, or --token-file")
    settings = resolved(directory, catalog)
    try:
        listener = listen_at(host, port)
    except OSError as error:
        raise click.UsageError(f"{host}:{port} cannot be listened at: {error}") from error
    address = f"http://{in_url(host)}:{listener.getsockname()[1]}"
    output = Output(as_json=as_json)
    if as_json:
        output.value({"address": address})
    else:
        output.line(f"{address}/v1/traces")
    output.flush()
    if not is_loopback(host):
        note("What is sent here passes the network unencrypted, unless something in front of it decrypts it.")
    try:
        serve(
            listener,
            settings,
            token=token,
            limits=Limits(body_bytes=max_body_bytes, body_s=body_timeout, room_bytes=settings.queue_bytes),
        )
    except OSError as error:
        raise click.UsageError(f"{settings.directory} cannot be used: {error}") from error


def _token(file: Path | None) -> str | None:
    """Return the token; None where there is none."""
    if file is None:
        return os.environ.get(_TOKEN_VARIABLE, "").strip() or None
    try:
        token = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"the token cannot be read from {file}: {error}") from error
    if not token:
        raise click.UsageError(f"{file} is empty: no token")
    return token
