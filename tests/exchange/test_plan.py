"""How a request is carried: as it is with a few members replaced, or translated; never decoded twice."""

import json
from collections.abc import Mapping

import pytest
from attrs import evolve

from cliproxy.catalog.model import ModelInfo
from cliproxy.config.load import examine
from cliproxy.dialects.base import Action, ClientRequest
from cliproxy.errors import BadRequest, DialectError
from cliproxy.exchange.plan import Plan, Planner
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import Family, IRRequest, Reasoning
from cliproxy.ir.thinking import ThinkingSupport
from cliproxy.routing.resolve import resolve
from cliproxy.wire.formdata import FormData, Part
from cliproxy.wire.jsontext import JsonObject
from support.exchange import NOW, Bottle, FakeContract, bottle, chat, request

CLAUDE = {"max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


def planner_of(world: Bottle, wanted: ClientRequest) -> Planner:
    snapshot = world.deps.snapshot()
    resolution = resolve(snapshot.registry, wanted.model)
    assert resolution is not None
    return Planner(wanted, resolution, world.deps, snapshot)


def planned(
    wanted: ClientRequest,
    contract: FakeContract | None = None,
    world: Bottle | None = None,
    model: str = "m-upstream",
    **candidate: object,
) -> Plan:
    """Plan a request for an upstream that calls the model ``m-upstream``."""
    planner = planner_of(world or bottle(), wanted)
    [first] = planner.resolution.candidates[:1]
    return planner.plan(evolve(first, model=model, **candidate), contract or FakeContract())


def sent(plan: Plan) -> Mapping[str, object]:
    return json.loads(plan.body)


# --- passing through ------------------------------------------------------------------------------


async def test_the_same_dialect_passes_and_only_the_models_name_is_replaced() -> None:
    raw = b'{"model" : "m", "messages":[{"role":"user","content":"hi"}],"future_field" : {"x":[1,2.50]}}'
    wanted = chat(stream=False)
    plan = planned(evolve(wanted, document=type(wanted.document).parse(raw)))
    assert plan.passes_through
    assert sent(plan) == {**json.loads(raw), "model": "m-upstream"}
    assert b'"messages":[{"role":"user","content":"hi"}]' in plan.body
    assert b'"future_field" : {"x":[1,2.50]}' in plan.body


async def test_a_body_that_needs_no_change_keeps_its_bytes() -> None:
    wanted = chat(stream=False)
    assert planned(wanted, model="m").body == wanted.document.raw


async def test_usage_is_asked_for_in_a_stream_and_hidden_again() -> None:
    plan = planned(chat(stream=True))
    assert sent(plan)["stream_options"] == {"include_usage": True}
    assert plan.hides_usage
    asked = planned(chat(stream=True, stream_options={"include_usage": True}))
    assert not asked.hides_usage
    assert not planned(chat(stream=False)).hides_usage


async def test_a_thinking_suffix_becomes_members_of_the_body() -> None:
    world = bottle()
    plan = planned(evolve(chat(stream=False), model="m(high)"), world=world)
    assert plan.passes_through
    assert sent(plan)["reasoning_effort"] == "high"
    assert sent(plan)["model"] == "m-upstream"


@pytest.mark.parametrize(
    ("reason", "wanted", "contract"),
    [
        ("another dialect", chat(stream=False), FakeContract("claude")),
        ("it only streams", chat(stream=False), FakeContract(streams_only=True)),
        (
            "the answer has another shape",
            request({"input": "hi"}, "openai-response", answer_dialect="openai"),
            FakeContract(),
        ),
    ],
)
async def test_what_cannot_pass_is_translated(
    reason: str, wanted: ClientRequest, contract: FakeContract
) -> None:
    assert not planned(wanted, contract).passes_through, reason


async def test_a_wish_to_think_in_a_form_the_model_does_not_know_is_translated() -> None:
    """Claude Code behind an alias asks an older model for adaptive thinking."""
    wish = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
    wanted = request({**CLAUDE, **wish, "max_tokens": 32000}, "claude")
    older = ModelInfo(id="m", thinking=ThinkingSupport(min_budget=1024, max_budget=128000))
    plan = planned(wanted, FakeContract("claude"), info=older)
    assert not plan.passes_through
    assert sent(plan)["thinking"] == {"type": "enabled", "budget_tokens": 24576}
    assert "output_config" not in sent(plan)
    newer = ModelInfo(id="m", thinking=ThinkingSupport(levels=("low", "high"), adaptive=True))
    assert planned(wanted, FakeContract("claude"), info=newer).passes_through


async def test_a_translated_request_stays_within_the_models_longest_answer() -> None:
    small = ModelInfo(id="m", output_tokens=8192)
    assert sent(planned(chat(), FakeContract("claude"), info=small))["max_tokens"] == 8192


async def test_an_answer_that_must_show_another_name_is_translated() -> None:
    plan = planned(chat(stream=False), shown_model="my-name")
    assert not plan.passes_through
    assert plan.context.shown_model == "my-name"


async def test_an_upstream_that_only_streams_serves_streams_as_they_are() -> None:
    plan = planned(chat(stream=True), FakeContract(streams_only=True))
    assert plan.passes_through
    assert plan.stream


async def test_filling_in_the_middle_keeps_the_body_as_it_is() -> None:
    wanted = request({"prompt": "a", "suffix": "b"}, "completions", action=Action.FILL_IN_THE_MIDDLE)
    plan = planned(wanted, FakeContract("gitlab-suggestions", actions=(Action.FILL_IN_THE_MIDDLE,)))
    assert plan.body == wanted.document.raw


# --- rules of the owner ---------------------------------------------------------------------------


def ruled(text: str) -> Bottle:
    """A world whose configuration has payload rules."""
    examined = examine(f"request-retry: 0\npayload:\n{text}")
    assert (examined.warnings, examined.errors) == ((), ())
    return bottle(config=examined.config)


async def test_rules_change_a_body_that_passes_and_leave_the_bytes_of_the_rest() -> None:
    world = ruled("""
  default: [{models: [{name: m-upstream}], params: {temperature: 0.5, top_p: 0.5}}]
  override: [{models: [{name: m, protocol: openai}], params: {metadata.team: blue, flag: true, none: ~}}]
  filter: [{models: [{name: m}], params: [user]}]
""")
    raw = (
        b'{"model" : "m", "top_p":1.0, "messages":[{"role":"user",  "content":"hi"}],'
        b'"user":"me","metadata" : {"a":1},"flag":1}'
    )
    wanted = chat(stream=False)
    plan = planned(evolve(wanted, document=type(wanted.document).parse(raw)), world=world)
    assert plan.passes_through
    assert plan.body == (
        b'{"model" : "m-upstream","top_p":1.0,"messages":[{"role":"user",  "content":"hi"}],'
        b'"metadata" : {"a":1,"team":"blue"},"flag":true,"temperature":0.5,"none":null}'
    )


async def test_a_rule_that_changes_nothing_leaves_every_byte() -> None:
    world = ruled('  override: [{models: [{name: m}], params: {n: 1, user: "u"}}]')
    wanted = chat(stream=False)
    raw = b'{ "model":"m", "n" :1.0, "user":"u", "messages":[] }'
    plan = planned(evolve(wanted, document=type(wanted.document).parse(raw)), world=world, model="m")
    assert plan.body == raw


async def test_rules_see_what_is_put_into_a_body_that_passes() -> None:
    world = ruled("""
  default: [{models: [{name: "m(high)"}], params: {reasoning_effort: low}}]
  filter: [{models: [{name: "*", match: [{model: m-upstream}]}], params: [stream_options.include_usage]}]
""")
    plan = planned(evolve(chat(stream=True), model="m(high)"), world=world)
    assert plan.passes_through
    assert sent(plan)["reasoning_effort"] == "high"
    assert sent(plan)["stream_options"] == {}


async def test_rules_speak_of_the_upstreams_body_where_it_is_translated() -> None:
    world = ruled("""
  override: [{models: [{name: "*", protocol: claude, from-protocol: openai}], params: {metadata.user_id: u}}]
  default: [{models: [{name: "*", protocol: openai}], params: {wrong: 1}}]
""")
    plan = planned(chat(stream=False), FakeContract("claude"), world=world)
    assert not plan.passes_through
    assert sent(plan)["metadata"] == {"user_id": "u"}
    assert "wrong" not in sent(plan)


async def test_rules_read_the_clients_headers() -> None:
    world = ruled('  override: [{models: [{name: "*", headers: {X-Team: "b*"}}], params: {hit: 1}}]')
    hits = [
        sent(planned(evolve(chat(stream=False), headers=team), world=world))
        for team in ({}, {"x-team": "blue"}, {"x-team": "red"})
    ]
    assert ["hit" in body for body in hits] == [False, True, False]


@pytest.mark.parametrize(
    ("wanted", "contract"),
    [
        (request({"input": "a"}, action=Action.EMBED), FakeContract("openai", actions=(Action.EMBED,))),
        (
            request({"input": "hi"}, "openai-response", action=Action.COMPACT),
            FakeContract("openai-response", actions=(Action.COMPACT,)),
        ),
        (request(CLAUDE, "claude", action=Action.COUNT), FakeContract("claude", actions=(Action.COUNT,))),
        (chat(stream=False), FakeContract("gitlab-chat")),
    ],
    ids=["embeddings", "compaction", "token count", "GitLab's own text"],
)
async def test_rules_are_about_answers_of_models(wanted: ClientRequest, contract: FakeContract) -> None:
    world = ruled('  override: [{models: [{name: "*"}], params: {hit: 1}}]')
    assert planned(wanted, contract, world=world).body == planned(wanted, contract).body


# --- translating ----------------------------------------------------------------------------------


async def test_a_translated_request_speaks_the_upstreams_dialect() -> None:
    plan = planned(request({**CLAUDE, "stream": True, "system": "be brief"}, "claude"))
    body = sent(plan)
    assert (body["model"], body["stream"]) == ("m-upstream", True)
    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
    ]
    assert (plan.client.id, plan.upstream.id) == ("claude", "openai")


async def test_an_upstream_that_only_streams_is_asked_to_stream() -> None:
    plan = planned(request(CLAUDE, "claude"), FakeContract(streams_only=True))
    assert plan.stream
    assert sent(plan)["stream"] is True


async def test_what_the_model_refuses_is_renamed_in_its_own_words_and_left_out_of_anothers() -> None:
    info = ModelInfo(id="m", refuses=frozenset({"max_tokens", "temperature"}))
    own = sent(planned(chat(stream=False, max_tokens=9, temperature=0.5), info=info))
    assert (own["max_completion_tokens"], own["temperature"]) == (9, 0.5)
    assert "max_tokens" not in own
    plan = planned(request({**CLAUDE, "temperature": 0.5}, "claude"), info=info)
    assert sent(plan)["max_completion_tokens"] == 100
    assert "temperature" not in sent(plan)
    assert "the model does not take temperature" in plan.context.notes


async def test_quirks_have_the_last_word() -> None:
    def shout(wanted: IRRequest, context: ExchangeContext) -> IRRequest:
        assert context.upstream_model == "m-upstream"
        return evolve(wanted, model=wanted.model.upper())

    plan = planned(chat(stream=False), world=bottle(quirks=(shout,)))
    assert not plan.passes_through
    assert sent(plan)["model"] == "M-UPSTREAM"


async def test_a_suffix_wins_over_the_amount_in_the_body_not_over_its_visibility() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    wanted = evolve(request({**CLAUDE, "thinking": thinking}, "claude"), model="m(high)")
    assert sent(planned(wanted))["reasoning_effort"] == "high"
    hidden = request(
        {"input": "hi", "reasoning": {"effort": "low", "summary": "detailed"}}, "openai-response"
    )
    body = sent(planned(evolve(hidden, model="m(high)"), FakeContract("openai-response", streams_only=True)))
    assert body["reasoning"] == {"effort": "high", "summary": "detailed"}


async def test_the_owners_wish_goes_before_that_of_the_name_and_of_the_body() -> None:
    owners = Reasoning(level="low", from_name=True)
    passed = planned(evolve(chat(stream=False, reasoning_effort="high"), model="m(high)"), reasoning=owners)
    assert passed.passes_through
    assert sent(passed)["reasoning_effort"] == "low"
    translated = planned(evolve(request(CLAUDE, "claude"), model="m(high)"), reasoning=owners)
    assert sent(translated)["reasoning_effort"] == "low"


async def test_a_request_is_decoded_once_for_all_attempts() -> None:
    planner = planner_of(bottle(), chat(stream=True, stream_options={"include_usage": True}))
    [candidate] = planner.resolution.candidates
    first = planner.plan(candidate, FakeContract("claude"))
    second = planner.plan(candidate, FakeContract("gemini"))
    assert first.context is not second.context
    assert first.context.original is second.context.original is planner.decode()
    assert first.context.include_usage
    assert second.context.include_usage


async def test_notes_of_one_attempt_are_not_those_of_the_next() -> None:
    planner = planner_of(bottle(), chat(stream=False, seed=1, logprobs=True))
    [candidate] = planner.resolution.candidates
    first = planner.plan(candidate, FakeContract("claude")).context.notes
    first.append("only here")
    second = planner.plan(candidate, FakeContract("claude")).context.notes
    assert second == first[:-1]


async def test_what_cannot_be_read_is_a_fault_of_the_request() -> None:
    wanted = chat(stream=False, messages="nonsense")
    with pytest.raises(BadRequest) as caught:
        planned(wanted, FakeContract("claude"))
    assert (caught.value.status, caught.value.param) == (400, "messages")
    with pytest.raises(DialectError):
        planner_of(bottle(), wanted).decode()


# --- the context ----------------------------------------------------------------------------------


async def test_the_context_says_what_both_sides_are_called() -> None:
    context = planned(evolve(request(CLAUDE, "claude"), model="m(high)"), model="claude-sonnet-4-5").context
    assert (context.client_dialect, context.upstream_dialect) == ("claude", "openai")
    assert (context.requested_model, context.upstream_model) == ("m", "claude-sonnet-4-5")
    assert context.upstream_family is Family.CLAUDE
    assert context.now == NOW
    assert len(context.new_id("x-", 8)) == 10


async def test_a_known_family_wins_over_the_models_name() -> None:
    info = ModelInfo(id="m", family=Family.GEMINI)
    assert planned(chat(), model="claude-like", info=info).context.upstream_family is Family.GEMINI


# --- answers that pass though the request does not --------------------------------------------------


def responses(**members: object) -> ClientRequest:
    return request({"input": "hi", **members}, "openai-response")


async def test_a_stream_in_the_clients_own_events_passes_though_the_request_does_not() -> None:
    plan = planned(evolve(responses(temperature=0.5), stream=True), FakeContract("codex", streams_only=True))
    assert not plan.passes_through
    assert plan.streams_through
    assert sent(plan)["store"] is False
    assert "temperature" not in sent(plan)


@pytest.mark.parametrize(
    ("reason", "wanted", "settings"),
    [
        ("the client wants one body", responses(), {}),
        ("another name must be shown", evolve(responses(), stream=True), {"shown_model": "my-name"}),
        (
            "a tool was renamed",
            evolve(responses(tools=[{"type": "function", "name": "x" * 65, "parameters": {}}]), stream=True),
            {},
        ),
        (
            "the answer has another shape",
            evolve(request({"input": "hi"}, "openai-response", answer_dialect="openai"), stream=True),
            {},
        ),
        ("the client speaks another dialect", chat(stream=True), {}),
    ],
)
async def test_other_answers_are_translated(
    reason: str, wanted: ClientRequest, settings: dict[str, str]
) -> None:
    contract = FakeContract("codex", streams_only=True)
    assert not planned(wanted, contract, **settings).streams_through, reason


# --- embeddings and pictures ----------------------------------------------------------------------

EMBEDS = FakeContract(actions=(Action.EMBED,))
PICTURES = FakeContract("openai-images", actions=(Action.IMAGE,))


def embedding(body: JsonObject, dialect: str = "openai") -> ClientRequest:
    return request(body, dialect, action=Action.EMBED)


async def test_embeddings_pass_and_only_the_models_name_is_replaced() -> None:
    wanted = embedding({"input": [1, 2], "odd": 1.50})
    plan = planned(wanted, EMBEDS)
    assert plan.passes_through
    assert plan.portions is None
    assert sent(plan) == {"model": "m-upstream", "input": [1, 2], "odd": 1.5}
    assert planned(wanted, EMBEDS, model="m").body == wanted.document.raw


async def test_a_thinking_suffix_says_nothing_about_embeddings() -> None:
    plan = planned(evolve(embedding({"input": "hi"}), model="m(high)"), EMBEDS)
    assert sent(plan) == {"model": "m-upstream", "input": "hi"}


async def test_embeddings_are_translated() -> None:
    plan = planned(embedding({"input": "hi", "dimensions": 3}), evolve(EMBEDS, dialect="gemini"))
    assert not plan.passes_through
    assert sent(plan)["requests"] == [
        {
            "model": "models/m-upstream",
            "content": {"parts": [{"text": "hi"}]},
            "outputDimensionality": 3,
        }
    ]
    value = {"embeddings": [{"values": [1.0]}]}
    assert plan.inspect(value).has_content
    answer, usage = plan.translate(value)
    assert answer["data"] == [{"object": "embedding", "index": 0, "embedding": [1.0]}]
    assert usage.input_total == 0
    assert plan.portions is not None
    assert plan.portions.wanted({"input": ["a", "b"]}) == 2


async def test_embeddings_that_cannot_be_carried_are_refused() -> None:
    with pytest.raises(BadRequest, match="token numbers") as caught:
        planned(embedding({"input": [1, 2]}), evolve(EMBEDS, dialect="gemini"))
    assert caught.value.param == "input"


async def test_an_alias_is_shown_in_the_answer_to_embeddings() -> None:
    plan = planned(embedding({"input": "hi"}), EMBEDS, shown_model="mine")
    assert not plan.passes_through
    answer, _ = plan.translate({"data": [{"embedding": [1]}], "model": "m-upstream"})
    assert answer["model"] == "mine"


def picture_form() -> ClientRequest:
    form = FormData.of(
        [
            Part(name="model", data=b"m"),
            Part(name="prompt", data=b"a cat"),
            Part(name="image", data=b"\x89PNG", filename="a.png"),
        ]
    )
    return evolve(request({}, "openai-images"), action=Action.IMAGE, document=form)


async def test_a_form_passes_with_another_model_in_it() -> None:
    plan = planned(picture_form(), PICTURES)
    assert plan.passes_through
    form = FormData.parse(plan.body, plan.content_type)
    assert form.value == {"model": "m-upstream", "prompt": "a cat"}
    assert [file.data for file in form.files] == [b"\x89PNG"]
    whole = planned(picture_form(), PICTURES, model="m")
    assert whole.body == picture_form().document.raw


async def test_pictures_show_no_model_so_that_an_alias_is_no_obstacle() -> None:
    assert planned(picture_form(), PICTURES, shown_model="mine").passes_through


async def test_a_form_is_translated_with_its_files() -> None:
    plan = planned(picture_form(), FakeContract("gemini", actions=(Action.IMAGE,)))
    assert plan.content_type == "application/json"
    assert sent(plan)["contents"] == [
        {
            "role": "user",
            "parts": [{"text": "a cat"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}],
        }
    ]
    assert sent(plan)["generationConfig"] == {"responseModalities": ["IMAGE"]}
    assert plan.portions is not None


async def test_a_conversation_with_a_model_that_draws_becomes_a_form() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    message = {"role": "user", "content": [{"type": "text", "text": "bluer"}, picture]}
    plan = planned(chat(stream=False, messages=[message]), FakeContract("openai-images"))
    form = FormData.parse(plan.body, plan.content_type)
    assert form.value == {"model": "m-upstream", "prompt": "bluer"}
    assert [file.data for file in form.files] == [b"\x89PNG"]
