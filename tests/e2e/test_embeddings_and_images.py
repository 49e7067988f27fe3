"""Embeddings and images, through the real server: the vendors' packages on every upstream that offers them.

Like the matrix of conversations: the emulators refuse whatever their vendors would refuse, and after each
test they must not have refused anything, unless that is what the test is about.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx2
import openai
import pytest
import trio
from attrs import field, frozen
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

from emulators.media import kind_of, png, vector
from support.emulator import Emulator, Seen, running_emulator
from support.server import Server, running

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CONFIG: Final = """\
disable-cooling: true
request-retry: 0
api-keys: [sk-client-0123456789abcdef]
openai-compatibility:
  - name: somebody
    base-url: http://127.0.0.1:{compatible}/v1
    api-key-entries: [{{api-key: any-key}}]
    models:
      - {{name: vectors}}
      - {{name: vectors, alias: my-vectors, force-mapping: true}}
      - {{name: painter, image: true}}
      - {{name: painter, alias: my-painter, force-mapping: true}}
codex-api-key:
  - api-key: sk-codex
    base-url: http://127.0.0.1:{openai}/v1
    models: [{{name: text-embedding-3-small}}, {{name: gpt-image-2}}]
gemini-api-key:
  - api-key: AIza-emulated
    base-url: http://127.0.0.1:{gemini}
claude-api-key:
  - api-key: sk-ant-emulated
    base-url: http://127.0.0.1:{claude}
"""
EMULATORS: Final = {
    "compatible": ("openai", {"vendor": "compatible", "models": ["vectors", "painter"]}),
    "openai": ("openai", {}),
    "gemini": ("gemini", {}),
    "claude": ("claude", {}),
}
KEY: Final = "sk-client-0123456789abcdef"
PICTURE: Final = png(77)


@frozen
class World:
    """The server, its clients and the upstreams behind it."""

    server: Server
    openai: openai.OpenAI
    gemini: genai.Client
    upstreams: dict[str, Emulator]
    refused: set[str] = field(factory=set)
    """Upstreams that refused something, as the test wanted."""

    def log(self, upstream: str) -> list[Seen]:
        return trio.run(self.upstreams[upstream].log)

    def body(self, upstream: str) -> Any:
        (seen,) = self.log(upstream)
        return seen.body


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        upstreams = {
            key: stack.enter_context(running_emulator(name, **settings))
            for key, (name, settings) in EMULATORS.items()
        }
        config = CONFIG.format_map({key: upstream.port for key, upstream in upstreams.items()})
        directory = tmp_path_factory.mktemp("media")
        server = stack.enter_context(running(directory, config=config, NO_PROXY="127.0.0.1"))
        chat = stack.enter_context(openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0))
        options = types.HttpOptions(base_url=server.url)
        google = stack.enter_context(genai.Client(api_key=KEY, http_options=options))
        yield World(server, chat, google, upstreams)


@pytest.fixture
def world(started: World) -> Iterator[World]:
    started.refused.clear()
    yield started
    for name, upstream in started.upstreams.items():
        refusals = trio.run(upstream.refusals)
        trio.run(upstream.reset)
        assert bool(refusals) is (name in started.refused), refusals


# --- embeddings --------------------------------------------------------------------------------------------

EMBEDDERS: Final = {
    "compatible": "vectors",
    "openai": "text-embedding-3-small",
    "gemini": "gemini-embedding-001",
}
each_embedder = pytest.mark.parametrize(("upstream", "model"), EMBEDDERS.items(), ids=list(EMBEDDERS))


@each_embedder
def test_openai_client_embeds(world: World, upstream: str, model: str) -> None:
    """The package asks for base64 by itself, and reads it."""
    answer = world.openai.embeddings.create(model=model, input=["first", "second"])
    assert [entry.embedding for entry in answer.data] == [vector("first"), vector("second")]
    assert [entry.index for entry in answer.data] == [0, 1]
    assert answer.model == model
    assert answer.usage.prompt_tokens == (0 if upstream == "gemini" else 16)


@each_embedder
def test_openai_client_settings(world: World, upstream: str, model: str) -> None:
    answer = world.openai.embeddings.create(model=model, input="one", dimensions=5, encoding_format="float")
    assert [entry.embedding for entry in answer.data] == [vector("one", 5)]
    body = world.body(upstream)
    assert (body if upstream != "gemini" else body["requests"][0]) == {
        "compatible": {"model": model, "input": "one", "dimensions": 5, "encoding_format": "float"},
        "openai": {"model": model, "input": "one", "dimensions": 5, "encoding_format": "float"},
        "gemini": {
            "model": f"models/{model}",
            "content": {"parts": [{"text": "one"}]},
            "outputDimensionality": 5,
        },
    }[upstream]


@pytest.mark.parametrize("upstream", ["compatible", "openai"])
@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_openai_client_sends_tokens(world: World, upstream: str, tokens: Any) -> None:
    answer = world.openai.embeddings.create(model=EMBEDDERS[upstream], input=tokens)
    assert len(answer.data) == (1 if tokens[0] == 1 else 2)
    assert world.body(upstream)["input"] == tokens


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_tokens_mean_nothing_to_another_vendor(world: World, tokens: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="token numbers") as caught:
        world.openai.embeddings.create(model="gemini-embedding-001", input=tokens)
    assert caught.value.param == "input"
    assert world.log("gemini") == []


def test_more_texts_than_the_upstream_takes_at_a_time(world: World) -> None:
    texts = [f"text {number}" for number in range(230)]
    answer = world.openai.embeddings.create(model="gemini-embedding-2", input=texts)
    assert [entry.embedding for entry in answer.data] == [vector(text) for text in texts]
    assert [entry.index for entry in answer.data] == list(range(230))
    assert sorted(len(seen.body["requests"]) for seen in world.log("gemini")) == [30, 100, 100]
    assert answer.usage.prompt_tokens > 230


def test_a_body_of_the_same_dialect_passes_as_it_is(world: World) -> None:
    raw = b'{"model" : "vectors","input":["a"],  "future": {"x":[1,2.50]}}'
    world.refused.add("compatible")
    post(world, "/v1/embeddings", raw)
    [seen] = world.log("compatible")
    assert seen.body_sha256 == hashlib.sha256(raw).hexdigest()


def test_an_alias_is_shown_in_the_answer(world: World) -> None:
    answer = world.openai.embeddings.create(model="my-vectors", input=["first"])
    assert answer.model == "my-vectors"
    assert answer.data[0].embedding == vector("first")
    assert world.body("compatible")["model"] == "vectors"


@each_embedder
def test_genai_client_embeds(world: World, upstream: str, model: str) -> None:
    wish = types.EmbedContentConfig(output_dimensionality=5, task_type="CLUSTERING")
    answer = world.gemini.models.embed_content(model=model, contents=["first", "second"], config=wish)
    assert [one.values for one in answer.embeddings] == [vector("first", 5), vector("second", 5)]
    if upstream == "gemini":
        assert world.body(upstream)["requests"][1]["taskType"] == "CLUSTERING"
        assert answer.usage_metadata is None
    else:
        assert world.body(upstream) == {"model": model, "input": ["first", "second"], "dimensions": 5}
        assert answer.usage_metadata.prompt_token_count == 16


@each_embedder
@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_a_single_content_by_hand(world: World, upstream: str, model: str, version: str) -> None:
    """The package always sends batches; others do not."""
    body = {"content": {"parts": [{"text": "first"}]}}
    answer = post(world, f"/{version}/models/{model}:embedContent", json.dumps(body).encode())
    assert answer.status_code == 200
    assert answer.json()["embedding"]["values"] == vector("first")
    [seen] = world.log(upstream)
    assert (
        seen.path
        == {
            "compatible": "/v1/embeddings",
            "openai": "/v1/embeddings",
            "gemini": "/v1beta/models/gemini-embedding-001:embedContent",
        }[upstream]
    )


# --- images ------------------------------------------------------------------------------------------------

PAINTERS: Final = {"compatible": "painter", "openai": "gpt-image-2", "gemini": "gemini-2.5-flash-image"}
each_painter = pytest.mark.parametrize(("upstream", "model"), PAINTERS.items(), ids=list(PAINTERS))


def pictures_of(answer: Any) -> list[bytes]:
    found = [base64.b64decode(entry.b64_json) for entry in answer.data]
    assert {kind_of(picture) for picture in found} == {"image/png"}
    return found


@each_painter
def test_openai_client_draws(world: World, upstream: str, model: str) -> None:
    answer = world.openai.images.generate(model=model, prompt="a cat", size="1536x1024")
    assert len(pictures_of(answer)) == 1
    assert answer.created > 0
    assert answer.output_format == "png"
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    [seen] = world.log(upstream)
    if upstream == "gemini":
        assert seen.path == f"/v1beta/models/{model}:generateContent"
        assert seen.body["contents"] == [{"role": "user", "parts": [{"text": "a cat"}]}]
        wish = {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "3:2"}}
        assert seen.body["generationConfig"] == wish
    else:
        assert seen.path == "/v1/images/generations"
        assert seen.body == {"model": model, "prompt": "a cat", "size": "1536x1024"}


@each_painter
def test_openai_client_wants_several(world: World, upstream: str, model: str) -> None:
    """An upstream that draws one at a time is asked as often as it takes."""
    answer = world.openai.images.generate(model=model, prompt="a cat", n=4)
    assert len(set(pictures_of(answer))) == 4
    assert len(world.log(upstream)) == (4 if upstream == "gemini" else 1)
    assert answer.usage.output_tokens >= 4


@each_painter
@pytest.mark.parametrize("count", [1, 2])
def test_openai_client_edits(world: World, upstream: str, model: str, count: int) -> None:
    files = [(f"{number}.png", png(number), "image/png") for number in range(50, 50 + count)]
    answer = world.openai.images.edit(
        model=model, prompt="inspect and make it bluer", image=files if count > 1 else files[0]
    )
    assert len(pictures_of(answer)) == 1
    [seen] = world.log(upstream)
    if upstream == "gemini":
        data = [base64.b64encode(png(number)).decode() for number in range(50, 50 + count)]
        blobs = [{"inlineData": {"mimeType": "image/png", "data": one}} for one in data]
        assert seen.body["contents"][0]["parts"] == [{"text": "inspect and make it bluer"}, *blobs]
    else:
        assert seen.path == "/v1/images/edits"
        understood = json.loads(answer.data[0].revised_prompt)
        assert understood["pictures"] == ["image/png"] * count
        assert (understood["model"], understood["edit"]) == (model, True)


def test_a_form_of_the_same_dialect_passes_as_it_is(world: World) -> None:
    boundary = b"----a boundary of mine"
    form = (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="model"\r\n\r\npainter\r\n'
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na cat\r\n'
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
        b"X-Own: 1\r\nContent-Type: image/png\r\n\r\n" + PICTURE + b"\r\n--" + boundary + b"--\r\n"
    )
    kind = f'multipart/form-data; boundary="{boundary.decode()}"'
    answer = post(world, "/v1/images/edits", form, kind)
    assert answer.status_code == 200
    [seen] = world.log("compatible")
    assert seen.body_sha256 == hashlib.sha256(form).hexdigest()
    assert seen.header("content-type") == kind


def test_a_form_for_an_alias_only_gets_another_name_in_it(world: World) -> None:
    file = ("a.png", PICTURE, "image/png")
    answer = world.openai.images.edit(model="my-painter", prompt="inspect", image=file, mask=file)
    understood = json.loads(answer.data[0].revised_prompt)
    assert (understood["model"], understood["mask"]) == ("painter", True)


@pytest.mark.parametrize("upstream", ["openai", "gemini"])
def test_edits_in_json(world: World, upstream: str) -> None:
    url = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    body = {"model": PAINTERS[upstream], "prompt": "bluer", "images": [{"image_url": url}]}
    answer = post(world, "/v1/images/edits", json.dumps(body).encode())
    assert answer.status_code == 200
    assert kind_of(base64.b64decode(answer.json()["data"][0]["b64_json"])) == "image/png"
    if upstream == "openai":
        assert world.body("openai") == body


@each_painter
def test_openai_client_streams(world: World, upstream: str, model: str) -> None:
    """Previews come from where there are some."""
    events = list(world.openai.images.generate(model=model, prompt="a cat", stream=True, partial_images=2))
    kinds = [event.type for event in events]
    previews = [] if upstream == "gemini" else ["image_generation.partial_image"] * 2
    assert kinds == [*previews, "image_generation.completed"]
    assert kind_of(base64.b64decode(events[-1].b64_json)) == "image/png"
    assert events[-1].usage.total_tokens > 0


@each_painter
def test_openai_client_streams_an_edit(world: World, upstream: str, model: str) -> None:
    file = ("a.png", PICTURE, "image/png")
    [event] = world.openai.images.edit(model=model, prompt="bluer", image=file, stream=True)
    assert event.type == "image_edit.completed"


@pytest.mark.parametrize("upstream", ["compatible", "openai"])
def test_genai_client_draws_with_another_vendors_model(world: World, upstream: str) -> None:
    """A model that only draws can be asked in a conversation."""
    wish = types.GenerateContentConfig(
        response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9")
    )
    contents = [types.Part.from_bytes(data=PICTURE, mime_type="image/png"), "bluer"]
    model = PAINTERS[upstream]
    for asked, path in ((["a cat"], "generations"), (contents, "edits")):
        answer = world.gemini.models.generate_content(model=model, contents=asked, config=wish)
        [part] = answer.candidates[0].content.parts
        assert kind_of(part.inline_data.data) == "image/png"
        assert world.log(upstream)[-1].path == f"/v1/images/{path}"
    chunks = list(world.gemini.models.generate_content_stream(model=model, contents="a cat", config=wish))
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or []]
    [blob] = [part.inline_data for part in parts if part.inline_data is not None]
    assert kind_of(blob.data) == "image/png"


def test_chat_client_draws_with_a_model_that_only_draws(world: World) -> None:
    answer = world.openai.chat.completions.create(
        model="gpt-image-2", messages=[{"role": "user", "content": "a cat"}]
    )
    [image] = answer.choices[0].message.model_extra["images"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")


def test_the_default_model_is_for_requests_that_name_none(world: World) -> None:
    pictures_of(world.openai.images.generate(prompt="a cat"))
    assert world.body("openai") == {"prompt": "a cat", "model": "gpt-image-2"}


def test_an_address_is_a_data_url_where_there_is_no_other(world: World) -> None:
    answer = world.openai.images.generate(
        model="gemini-2.5-flash-image", prompt="a cat", response_format="url"
    )
    assert answer.data[0].url.startswith("data:image/png;base64,")


# --- refusals ----------------------------------------------------------------------------------------------


def post(world: World, path: str, body: bytes, kind: str = "application/json") -> httpx2.Response:
    headers = {"content-type": kind, "authorization": f"Bearer {KEY}"}
    return httpx2.post(world.server.url + path, content=body, headers=headers, trust_env=False)


def test_an_unknown_model_is_not_found_in_the_clients_dialect(world: World) -> None:
    with pytest.raises(openai.NotFoundError) as embeds:
        world.openai.embeddings.create(model="nobody", input="hi")
    assert embeds.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        world.openai.images.generate(model="nobody", prompt="hi")
    with pytest.raises(genai_errors.ClientError) as google:
        world.gemini.models.embed_content(model="nobody", contents="hi")
    assert (google.value.code, google.value.status) == (404, "NOT_FOUND")


def test_who_can_is_said_where_a_model_cannot(world: World) -> None:
    able = "codex, gemini, openai-compatibility"
    with pytest.raises(openai.BadRequestError, match=f"make embeddings here.*{able}"):
        world.openai.embeddings.create(model="claude-haiku-4-5", input="hi")
    with pytest.raises(openai.BadRequestError, match=f"make images here.*{able}"):
        world.openai.images.generate(model="claude-haiku-4-5", prompt="hi")
    with pytest.raises(genai_errors.ClientError, match=f"make embeddings here.*{able}"):
        world.gemini.models.embed_content(model="claude-haiku-4-5", contents="hi")


@pytest.mark.parametrize("upstream", ["compatible", "openai"])
def test_what_a_vendor_refuses_is_told(world: World, upstream: str) -> None:
    world.refused.add(upstream)
    with pytest.raises(openai.BadRequestError, match="does not match pattern") as caught:
        world.openai.images.generate(model=PAINTERS[upstream], prompt="a cat", size="huge")
    assert caught.value.param == "size"


def test_a_picture_that_is_withheld(world: World) -> None:
    with pytest.raises(openai.BadRequestError, match="safety system") as native:
        world.openai.images.generate(model="gpt-image-2", prompt="withhold this")
    assert native.value.code == "moderation_blocked"
    with pytest.raises(openai.BadRequestError, match="withheld the picture") as told:
        world.openai.images.generate(model="gemini-2.5-flash-image", prompt="refuse this")
    assert told.value.code == "content_policy_violation"
    assert len(world.log("gemini")) == 1, "nobody is asked again"


def test_words_in_place_of_a_picture(world: World) -> None:
    with pytest.raises(openai.InternalServerError, match="You said: let us chat"):
        world.openai.images.generate(model="gemini-2.5-flash-image", prompt="let us chat")
    with pytest.raises(openai.APIError, match="You said: let us chat"):
        list(world.openai.images.generate(model="gemini-2.5-flash-image", prompt="let us chat", stream=True))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("background", "transparent"), ("n", 11), ("size", "huge"), ("output_format", "gif")],
)
def test_what_cannot_be_carried_is_named(world: World, setting: str, value: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        world.openai.images.generate(
            model="gemini-2.5-flash-image", prompt="a cat", extra_body={setting: value}
        )
    assert caught.value.param == setting
    assert world.log("gemini") == []


def test_a_mask_cannot_be_carried(world: World) -> None:
    file = ("a.png", PICTURE, "image/png")
    with pytest.raises(openai.BadRequestError) as caught:
        world.openai.images.edit(model="gemini-2.5-flash-image", prompt="a", image=file, mask=file)
    assert caught.value.param == "mask"


FORM: Final = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("path", "kind", "body", "words"),
    [
        ("images/edits", FORM, "--x", "the body is not a form"),
        ("images/edits", "multipart/form-data", "", "boundary"),
        ("images/edits", "application/json", '{"model":"painter","prompt":"a"}', "`images` is required"),
        ("images/generations", "application/json", '{"model":"painter"}', "`prompt` is required"),
        ("embeddings", "application/json", '{"model":"vectors"}', "`input`"),
        ("embeddings", "application/json", "nonsense", "not a JSON object"),
    ],
)
def test_what_is_no_request(world: World, path: str, kind: str, body: str, words: str) -> None:
    answer = post(world, f"/v1/{path}", body.encode(), kind)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("images/edits", "application/x-www-form-urlencoded"),
        ("images/generations", FORM),
        ("embeddings", FORM),
    ],
)
def test_other_kinds_of_content_are_refused(world: World, path: str, kind: str) -> None:
    answer = post(world, f"/v1/{path}", b"--x--", kind)
    assert answer.status_code == 415
    assert "content type" in answer.json()["error"]["message"]


def test_a_batch_has_a_method_of_its_own(world: World) -> None:
    answer = post(world, "/v1beta/models/vectors:embedContent", b'{"requests":[]}')
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_client_key_is_needed(world: World) -> None:
    for path in ("/v1/embeddings", "/v1/images/generations", "/v1/images/edits"):
        answer = httpx2.post(world.server.url + path, json={}, trust_env=False)
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("status", "raised"), [(429, openai.RateLimitError), (500, openai.InternalServerError)]
)
@each_embedder
def test_an_upstreams_error_keeps_its_meaning(
    world: World, upstream: str, model: str, status: int, raised: type[Exception]
) -> None:
    trio.run(world.upstreams[upstream].script, [{"status": status}])
    with pytest.raises(raised):
        world.openai.embeddings.create(model=model, input="hi")


# --- the demo ----------------------------------------------------------------------------------------------


def test_the_demo_embeds_and_draws(tmp_path: Path) -> None:
    with running(tmp_path, "--demo", NO_PROXY="127.0.0.1") as server:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
            vectors = client.embeddings.create(model="demo", input=["a", "b"], dimensions=4)
            drawn = client.images.generate(model="demo", prompt="a cat", size="64x64", n=2)
            edited = client.images.edit(model="demo", prompt="a", image=("a.png", PICTURE, "image/png"))
            [streamed] = client.images.generate(model="demo", prompt="a cat", stream=True)
        options = types.HttpOptions(base_url=server.url)
        with genai.Client(api_key="any", http_options=options) as google:
            batch = google.models.embed_content(model="demo", contents=["a", "b"])
    assert [len(entry.embedding) for entry in vectors.data] == [4, 4]
    assert len(pictures_of(drawn)) == 2
    assert len(pictures_of(edited)) == 1
    assert streamed.type == "image_generation.completed"
    assert len(batch.embeddings) == 2
