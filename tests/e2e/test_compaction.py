"""A conversation that is made shorter by the vendor, and goes on: the openai package, the real program."""

import json
from pathlib import Path

import openai
import pytest

from support.emulator import start_emulator
from support.server import running

SAID = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "Hello! What can I do?"},
    {"role": "user", "content": "nothing at all"},
]
CONFIG = """
codex-api-key:
  - api-key: sk-responses
    base-url: {url}/v1
    models: [{{name: gpt-5.2}}]
"""
DUO = """
gitlab-api-key:
  - api-key: glpat-good
    base-url: {url}
    ai-gateway-url: {url}/ai
"""


@pytest.mark.parametrize(
    ("vendor", "config", "model", "path"),
    [
        ("openai", CONFIG, "gpt-5.2", "/v1/responses/compact"),
        ("gitlab", DUO, "gpt-5-codex", "/ai/v1/proxy/openai/v1/responses/compact"),
    ],
    ids=["a key", "GitLab Duo"],
)
async def test_a_compacted_conversation_goes_on(
    tmp_path: Path, vendor: str, config: str, model: str, path: str
) -> None:
    async with start_emulator(vendor) as emulator:
        with (
            running(tmp_path, config=config.format(url=emulator.base_url), NO_PROXY="127.0.0.1") as server,
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=30) as client,
        ):
            raw = client.responses.with_raw_response.compact(
                model=model, input=SAID, instructions="Be brief."
            )
            compacted, shorter = raw.parse(), json.loads(raw.text)["output"]
            answer = client.responses.create(
                model=model, input=[*shorter, {"role": "user", "content": "go on"}], store=False
            )
        assert (compacted.object, answer.status) == ("response.compaction", "completed")
        assert [item["type"] for item in shorter] == ["message", "message", "compaction"]
        assert "go on" in answer.output_text
        assert path in [seen.path for seen in await emulator.log()]
        assert await emulator.refusals() == []


async def test_who_cannot_compact_says_who_can(tmp_path: Path) -> None:
    async with start_emulator("gitlab") as emulator:
        with (
            running(tmp_path, config=DUO.format(url=emulator.base_url), NO_PROXY="127.0.0.1") as server,
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=30) as client,
            pytest.raises(openai.BadRequestError, match=r"Accounts that can.*gitlab"),
        ):
            client.responses.compact(model="gitlab-duo", input=SAID)
        assert await emulator.refusals() == []
