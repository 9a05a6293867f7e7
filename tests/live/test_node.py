"""The example proxy in Node, with the real SDK of JavaScript: its conversations are those of the proxy in Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from collect_process import collecting, documents
from environments import run

from examples.launch import running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_KEY = "sk-proj-THE-SECRET-OF-OPENAI-0123456789"
_OF_ONE_RUN = ("started_at", "updated_at", "duration_ms")
_OF_TURN = ("identity", "continues", "complete", "sampled", "source")


@pytest.fixture(scope="session")
def node_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages, as its README says."""
    directory = tmp_path_factory.mktemp("node") / "node"
    shutil.copytree(_EXAMPLES / "node", directory, ignore=shutil.ignore_patterns("node_modules"))
    # Node brings certificates of its own; the system may know one more, of a mirror between here and the registry.
    options = {"NODE_OPTIONS": "--use-openssl-ca"} if sys.platform == "linux" else {}
    run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", str(directory), **options)
    return directory


@contextmanager
def node_proxy(directory: Path, upstream: str, endpoint: str) -> Iterator[str]:
    command = ["node", str(directory / "proxy.mjs"), "--upstream", upstream]
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "PATH": str(Path(shutil.which("node") or "").parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(20)


def talk(url: str) -> None:
    """Hold a dialogue, plain and streamed, and ask something that is refused."""
    history: list[Any] = [{"role": "system", "content": "You are terse."}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key=_KEY, max_retries=0) as client:
        for question in ("Guten Tag", "你好"):
            history.append({"role": "user", "content": question})
            completion = client.chat.completions.create(model="gpt-5", messages=history)
            history.append({"role": "assistant", "content": completion.choices[0].message.content})
        history.append({"role": "user", "content": "And now?"})
        options: Any = {"include_usage": True}
        with client.chat.completions.stream(model="gpt-5", messages=history, stream_options=options) as events:
            assert events.get_final_completion().usage
        with pytest.raises(openai.APIStatusError):
            client.chat.completions.create(model="error-429", messages=[{"role": "user", "content": "too much"}])


def comparable(directory: Path) -> dict[str, Any]:
    """What the documents say, less what is of one run."""
    found: dict[str, Any] = {}
    for path, document in documents(directory).items():
        numbers = {turn["turn_id"]: number for number, turn in enumerate(document["turns"])}
        for turn in document["turns"]:
            for name in _OF_ONE_RUN:
                assert turn.pop(name)
            turn["turn_id"] = numbers[turn["turn_id"]]
            turn["request_headers"].pop("host")
            turn["upstream_request"]["headers"] = {
                "authorization": turn["upstream_request"]["headers"]["authorization"]
            }
            turn["otel"] = {name: turn["otel"].get(name) for name in _OF_TURN}
            turn["otel"]["continues"] = numbers.get(turn["otel"]["continues"])
        del document["created_at"], document["updated_at"]
        found[Path(path).name] = document
    return found


def test_a_proxy_in_node_gives_the_documents_of_the_one_in_python(
    node_example: Path, upstream: str, tmp_path: Path
) -> None:
    with collecting(tmp_path / "node") as collector:
        with node_proxy(node_example, upstream, collector.url) as url:
            talk(url)
        assert collector.stop() == 0
    with running(
        _EXAMPLES / "proxy" / "app.py", "--upstream", upstream, "--directory", str(tmp_path / "python")
    ) as url:
        talk(url)
    python, node = comparable(tmp_path / "python"), comparable(tmp_path / "node")
    assert len(python) == 2
    assert max(len(document["turns"]) for document in python.values()) == 3
    assert node == python


def test_a_client_that_leaves_is_in_the_log(node_example: Path, upstream: str, tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        with node_proxy(node_example, upstream, collector.url) as url:
            client = openai.OpenAI(base_url=f"{url}/v1", api_key=_KEY, max_retries=0)
            stream = client.chat.completions.create(
                model="endless", stream=True, messages=[{"role": "user", "content": "go on"}]
            )
            next(iter(stream))
            stream.close()
            client.close()
        assert collector.stop() == 0
    ((turn,),) = (document["turns"] for document in documents(tmp_path).values())
    assert turn["error"]["type"] == "client_disconnected"
    assert turn["stream_trace"]["client_events"]
