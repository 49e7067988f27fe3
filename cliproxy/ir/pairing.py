"""Tool calls and their results: ids that fit the target, and every call answered.

Clients send histories in which a user interrupted a call, a result came twice, ids repeat from turn to turn
or are missing. Strict vendors refuse each of these. One walk over the conversation keeps a ledger of calls:

* a **call** gets its final id: the client's, changed only as far as the target's character set and length
  demand, and made unique. A missing id says the call's place and a checksum of its content, so that the
  next request of the same conversation makes up the same one (prompt caches depend on it). Changes go into
  the context, for the way back;
* a **result** finds its call: by id (the latest turn in which a call of that id is open), else by function
  name, else in order, among the calls of the turn before it. A second result for a call replaces the content
  of the first; a result without a call is an orphan.

A second walk puts the results where the target wants them and answers what nobody answered with
:data:`NO_RESULT`, marked as an error. Calls at the very end of a conversation stay open: nothing contradicts
them. Every step takes constant time for each part, whatever a hostile client repeats.

Nearly every conversation is in order already; one that is takes a shorter way to the same end.
"""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final
from zlib import crc32

from attrs import define, evolve, field

from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, Message, Part, Text, ToolCall, ToolResult
from cliproxy.ir.rules import TargetRules

NO_RESULT: Final = "[no result]"
_SHORTENED_DIGITS: Final = 16
_NOWHERE: Final = (-1, -1)
_PAIRED: Final = frozenset({ToolCall, ToolResult})


def pair_calls(request: IRRequest, rules: TargetRules, ctx: ExchangeContext) -> IRRequest:
    """Give every call an id the target takes and, where the target demands it, exactly one result."""
    paired = _already_paired(request.messages, _Ids(rules, ctx), rules)
    if paired is not None:
        return evolve(request, messages=paired)
    ledger = _Ledger(rules, ctx, _Ids(rules, ctx))
    drafts = [ledger.read(index, message) for index, message in enumerate(request.messages)]
    arrange = _behind_their_calls if rules.results_follow_calls else _where_they_are
    return evolve(request, messages=list(arrange(drafts, rules)))


# --- a conversation in order -----------------------------------------------------------------------------


@define(eq=False)
class _Linked:
    """The calls and results of a conversation, each with the number of its message."""

    calls: list[ToolCall] = field(factory=list)
    turns: list[int] = field(factory=list)
    results: list[ToolResult] = field(factory=list)
    homes: list[int] = field(factory=list)

    @classmethod
    def of(cls, messages: list[Message]) -> "_Linked":
        """Find what belongs together."""
        linked = cls()
        for index, message in enumerate(messages):
            for part in message.parts:
                if isinstance(part, ToolCall):
                    linked.calls.append(part)
                    linked.turns.append(index)
                elif isinstance(part, ToolResult):
                    linked.results.append(part)
                    linked.homes.append(index)
        return linked

    def is_in_order(self, messages: list[Message]) -> bool:
        """Tell whether the results of each turn are the user's next words, in the order of its calls, and
        only the last message has calls without any."""
        answered = len(self.homes)
        return (
            self.homes == [turn + 1 for turn in self.turns[:answered]]
            and set(self.turns[answered:]) <= {len(messages) - 1}
            and set(self.turns).isdisjoint(self.homes)
            and all(messages[home].role == "user" for home in self.homes)
            and self._are_asked_for()
        )

    def _are_asked_for(self) -> bool:
        asked = [call.id for call in self.calls[: len(self.results)]]
        if asked != [result.call_id for result in self.results]:
            return False
        # Without an id, the name alone tells whose result it is.
        pairs = zip(self.calls, self.results, strict=False)
        return "" not in asked or all(call.id or call.name == result.name for call, result in pairs)


def _already_paired(messages: list[Message], ids: "_Ids", rules: TargetRules) -> list[Message] | None:
    """Return a conversation that lacks ids and names at most; ``None`` if it may need more.

    That is what programs write: ids that fit and are never used twice, or none at all, and the results of a
    turn in the message behind it, in the order of its calls. The ledger comes to the same end in several
    times the time.
    """
    linked = _Linked.of(messages)
    if not linked.is_in_order(messages):
        return None
    calls = linked.calls
    known = [call.id for call in calls]
    if "" in known:
        messages = ids.identified(messages)
        calls = [part for message in messages for part in message.parts if isinstance(part, ToolCall)]
        known = [call.id for call in calls]
    if len(set(known)) < len(known) or not all(map(ids.is_final, known)):
        return None
    answers = iter(
        [
            result
            if call.id == result.call_id and result.name and result.kind is call.kind
            else result.answering(call)
            for call, result in zip(calls, linked.results, strict=False)
        ]
    )
    homes = frozenset(linked.homes)
    paired: list[Message] = []
    for index, message in enumerate(messages):
        if index in homes:
            paired += _answered(message, answers, rules)
        else:
            paired.append(message)
    return paired


def _answered(message: Message, answers: Iterator[ToolResult], rules: TargetRules) -> list[Message]:
    """Say the results, and what else the message holds, where the target wants it."""
    named = [next(answers) if isinstance(part, ToolResult) else part for part in message.parts]
    others: list[Part] = [part for part in named if not isinstance(part, ToolResult)]
    if not others or not rules.results_follow_calls:
        return [message.saying(named)]
    return [Message("user", [part for part in named if isinstance(part, ToolResult)]), message.saying(others)]


# --- any other conversation ------------------------------------------------------------------------------


@define(eq=False)
class _Call:
    """A call of the conversation and what became of it."""

    part: ToolCall
    """With its final id."""
    turn: int
    has_id: bool
    """From the client."""
    result: ToolResult | None = None
    home: tuple[int, int] = _NOWHERE
    """Message and position in which the first result came."""


@define(eq=False)
class _Draft:
    """A message being rebuilt."""

    message: Message
    slots: list[Part | _Call] = field(factory=list)
    """What stands where; a call stands for its result."""
    rest: list[Part] = field(factory=list)
    """The slots without the results."""
    calls: list[_Call] = field(factory=list)

    @classmethod
    def unpaired(cls, message: Message) -> "_Draft":
        """Return the draft of a message without calls and results: it stays as it is."""
        return cls(message, [*message.parts], message.parts)

    def put(self, part: Part) -> None:
        """Keep a part in its place."""
        self.slots.append(part)
        self.rest.append(part)


@define(eq=False)
class _Ids:
    """Final ids of calls."""

    rules: TargetRules
    ctx: ExchangeContext
    used: set[str] = field(factory=set)
    repeats: dict[str, int] = field(factory=dict)
    _is_legal: Callable[[str], object] = field(init=False)
    is_final: Callable[[str], object] = field(init=False)
    """Tells whether an id needs no change, as long as it is not used twice."""

    def __attrs_post_init__(self) -> None:
        char = self.rules.call_id_charset or "."
        self._is_legal = re.compile(f"{char}*", re.DOTALL).fullmatch
        limit = self.rules.max_call_id
        self.is_final = re.compile(f"{char}{{1,{'' if limit is None else limit}}}", re.DOTALL).fullmatch

    def identified(self, messages: list[Message]) -> list[Message]:
        """Return a conversation with ids for the calls that have none."""
        return [
            message.saying(self._identified(message.parts, turn))
            if ToolCall in map(type, message.parts)
            else message
            for turn, message in enumerate(messages)
        ]

    def _identified(self, parts: list[Part], turn: int) -> list[Part]:
        return [
            part.known_as(self._made_up(part, turn, position))
            if isinstance(part, ToolCall) and not part.id
            else part
            for position, part in enumerate(parts)
        ]

    def final(self, call: ToolCall, turn: int, position: int) -> str:
        """Return an id for a call that no other call has."""
        found = self._unique(self.legal(call.id) or self._made_up(call, turn, position))
        self.used.add(found)
        if call.id and found != call.id:
            self.ctx.call_ids[found] = call.id
        return found

    def legal(self, call_id: str) -> str:
        """Return the id in the target's characters and length."""
        charset, limit = self.rules.call_id_charset, self.rules.max_call_id
        legal = call_id
        if not self._is_legal(call_id):
            allowed = re.compile(charset)
            legal = "".join(char if allowed.fullmatch(char) else "_" for char in call_id)
        if limit is not None and len(legal) > limit:
            digest = _digest(call_id)[:_SHORTENED_DIGITS]
            legal = f"{legal[: limit - len(digest) - 1]}_{digest}"
        return legal

    def _unique(self, call_id: str) -> str:
        found = call_id
        number = self.repeats.get(call_id, 1)
        while found in self.used:
            number += 1
            suffix = f"_{number}"
            limit = self.rules.max_call_id
            found = (call_id if limit is None else call_id[: limit - len(suffix)]) + suffix
        self.repeats[call_id] = number
        return found

    def _made_up(self, call: ToolCall, turn: int, position: int) -> str:
        content = crc32(f"{call.name}\0{call.arguments}".encode("utf-8", "surrogatepass"))
        made_up = f"{self.rules.call_id_prefix}{turn << 64 | position << 32 | content:024x}"
        return made_up if self.is_final(made_up) else self.legal(made_up)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _first_open(queue: deque[_Call] | None) -> _Call | None:
    """Return the first call of a queue that has no result, removing the ones before it for good."""
    while queue:
        if queue[0].result is None:
            return queue[0]
        queue.popleft()
    return None


@define(eq=False)
class _Turn:
    """The calls just before: what a result without a usable id can belong to."""

    calls: deque[_Call] = field(factory=deque)
    _by_name: dict[tuple[str, bool], deque[_Call]] | None = field(default=None, init=False)

    @property
    def by_name(self) -> dict[tuple[str, bool], deque[_Call]]:
        """The calls by function name, and whether the client gave them an id; few turns are ever asked."""
        if self._by_name is None:
            self._by_name = {}
            for call in self.calls:
                self._by_name.setdefault((call.part.name, call.has_id), deque()).append(call)
        return self._by_name

    def match(self, result: ToolResult) -> _Call | None:
        """Find the call of a result whose id names none. An unknown id can only mean a call without one."""
        nameless = _first_open(self.by_name.get((result.name, False)))
        if nameless is not None or result.call_id:
            return nameless
        return _first_open(self.by_name.get((result.name, True))) or _first_open(self.calls)


@define(eq=False)
class _Ledger:
    """Which calls there were so far, and which are open."""

    rules: TargetRules
    ctx: ExchangeContext
    ids: _Ids
    by_id: dict[str, list[deque[_Call]]] = field(factory=dict)
    """Client id → the calls that used it, a queue for each turn."""
    turn: _Turn = field(factory=_Turn)

    def read(self, index: int, message: Message) -> _Draft:
        """Enter the calls and results of the next message."""
        if _PAIRED.isdisjoint(map(type, message.parts)):
            if message.role != "system":
                self.turn = _Turn()
            return _Draft.unpaired(message)
        draft = _Draft(message)
        has_results = False
        for position, part in enumerate(message.parts):
            match part:
                case ToolCall():
                    call = self._open(part, (index, position))
                    draft.calls.append(call)
                    draft.put(call.part)
                case ToolResult():
                    has_results = True
                    self._enter(part, (index, position), draft)
                case _:
                    draft.put(part)
        # A result that names no call belongs to the turn before it, and not beyond the next words.
        if draft.calls or not (has_results or message.role == "system"):
            self.turn = _Turn(deque(draft.calls))
        return draft

    def _open(self, part: ToolCall, place: tuple[int, int]) -> _Call:
        turn, position = place
        final = self.ids.final(part, turn, position)
        call = _Call(part if final == part.id else part.known_as(final), turn, bool(part.id))
        if part.id:
            turns = self.by_id.setdefault(part.id, [])
            if not turns or turns[-1][-1].turn != turn:
                turns.append(deque())
            turns[-1].append(call)
        return call

    def _enter(self, result: ToolResult, place: tuple[int, int], draft: _Draft) -> None:
        call = self._call_of(result)
        if call is None:
            self._enter_orphan(result, draft)
            return
        if call.result is None:
            call.home = place
            draft.slots.append(call)
        else:
            self.ctx.note("a second result of a tool call replaced the first")
        call.result = result.answering(call.part)

    def _enter_orphan(self, result: ToolResult, draft: _Draft) -> None:
        rules = self.rules
        is_unheard_of = rules.keeps_conversations and self.ctx.client_dialect not in rules.speaks
        if rules.needs_paired_results and (rules.drops_orphan_results or is_unheard_of):
            self.ctx.note("a tool result without a call was dropped")
            return
        draft.put(evolve(result, call_id=self.ids.legal(result.call_id)))

    def _call_of(self, result: ToolResult) -> _Call | None:
        turns = self.by_id.get(result.call_id)
        if turns is None:
            return self.turn.match(result)
        while len(turns) > 1 and all(call.result is not None for call in turns[-1]):
            turns.pop()
        queue = turns[-1]
        while len(queue) > 1 and queue[0].result is not None:
            queue.popleft()
        return queue[0]


def _behind_their_calls(drafts: list[_Draft], rules: TargetRules) -> Iterator[Message]:
    """Put the results of each turn right behind it."""
    last = max((index for index, draft in enumerate(drafts) if draft.rest), default=-1)
    for index, draft in enumerate(drafts):
        if draft.rest or not draft.message.parts:
            yield _with_parts(draft.message, draft.rest)
        if not draft.calls:
            continue
        answered = [call for call in draft.calls if call.result is not None]
        if rules.needs_paired_results and (answered or index != last):
            answered = draft.calls
        groups = [answered] if rules.results_in_call_order else _by_home(answered)
        yield from (_answer(group, drafts) for group in groups if group)


def _by_home(calls: list[_Call]) -> list[list[_Call]]:
    """Group calls by the message their results came in, in the results' order; open ones join the last."""
    if len(calls) == 1:
        return [calls]
    answered = sorted((call for call in calls if call.result is not None), key=lambda call: call.home)
    groups = [list(group) for _, group in groupby(answered, key=lambda call: call.home[0])] or [[]]
    groups[-1] += [call for call in calls if call.result is None]
    return groups


def _answer(calls: list[_Call], drafts: list[_Draft]) -> Message:
    """Return the message with the results of some calls; it is the client's own if that held nothing else."""
    homes = [drafts[call.home[0]] for call in calls if call.result is not None]
    extras = homes[0].message.extras if homes and not homes[0].rest else {}
    return Message("user", [_result_of(call) for call in calls], extras=extras)


def _where_they_are(drafts: list[_Draft], rules: TargetRules) -> Iterator[Message]:
    """Leave results in their places and answer what is open."""
    last = max((index for index, draft in enumerate(drafts) if draft.slots), default=-1)
    for index, draft in enumerate(drafts):
        parts = [_result_of(slot) if isinstance(slot, _Call) else slot for slot in draft.slots]
        if parts or not draft.message.parts:
            yield _with_parts(draft.message, parts)
        missing = [call for call in draft.calls if call.result is None]
        if missing and index != last and rules.needs_paired_results:
            yield Message("user", [_result_of(call) for call in missing])


def _with_parts(message: Message, parts: list[Part]) -> Message:
    return message if parts == message.parts else message.saying(parts)


def _result_of(call: _Call) -> ToolResult:
    """Return a call's result, or what stands in for it: the model must not think that the tool ran."""
    if call.result is not None:
        return call.result
    part = call.part
    return ToolResult(part.id, [Text(NO_RESULT)], name=part.name, is_error=True, kind=part.kind)
