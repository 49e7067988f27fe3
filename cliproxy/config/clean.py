"""What is done with a configuration once it is read: values brought into their normal form, useless entries
left out.

Order is kept. An entry that cannot work is dropped with a warning, because a server with nine of ten keys is
more useful than none; what would make the server unsafe or wholly unusable is fatal. Messages name the key
and never its secret.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeVar

import attrs
from attrs import define, field, frozen

from cliproxy.config.clientkeys import SAMPLE, SAMPLE_KEY, SHORT, SHORT_KEY, findings, normal_client_key
from cliproxy.config.entries import (
    PAYLOAD_PROTOCOLS,
    CompatibleEntry,
    KeyEntry,
    ModelFacts,
    ModelName,
    PayloadFilter,
    PayloadModel,
    PayloadRule,
    ScopedError,
)
from cliproxy.config.errorrules import faults_of
from cliproxy.config.groups import Payload
from cliproxy.config.model import DEFAULT_AUTH_DIR, Config
from cliproxy.config.normalize import (
    delay_range_s,
    duration_s,
    is_hashed_secret,
    normal_headers,
    normal_patterns,
    normal_prefix,
    normal_url,
    proxy_problem,
    url_problem,
)
from cliproxy.errors import Problem
from cliproxy.wire import jsonpath
from cliproxy.wire.jsontext import JsonError, JsonValue, loads
from cliproxy.wire.secret import Secret

MAX_SECRET_BYTES: Final = 72
"""What bcrypt can take in."""

Item = TypeVar("Item")


@frozen(kw_only=True)
class ListRule:
    """What an entry of a key list needs to be usable."""

    needs_base_url: bool = False
    needs_key: bool = False
    """Without this a base URL alone is enough: there are servers that want no key."""
    needs_alias: bool = False
    assume_https: bool = False
    unique: bool = False
    """One key is used once for each address and prefix."""


_PLAIN: Final = ListRule()
_GITLAB: Final = ListRule(needs_key=True, assume_https=True)
_CODEX: Final = ListRule(needs_base_url=True)
_GEMINI: Final = ListRule(unique=True)
_VERTEX: Final = ListRule(needs_key=True, needs_alias=True, unique=True)


@frozen(kw_only=True)
class Cleaned:
    """The configuration in its normal form, and what was found on the way."""

    config: Config
    problems: tuple[Problem, ...]


def clean(config: Config, lines: Mapping[str, int]) -> Cleaned:
    """Bring a configuration into its normal form. ``lines`` says where keys stand in the file."""
    report = _Report(lines)
    for step in _STEPS:
        config = step(config, report)
    return Cleaned(config=config, problems=tuple(report.problems))


@define
class _Report:
    lines: Mapping[str, int]
    problems: list[Problem] = field(factory=list)

    def warn(self, path: str, message: str) -> None:
        self.problems.append(Problem(message, path, self._line(path), fatal=False))

    def refuse(self, path: str, message: str) -> None:
        self.problems.append(Problem(message, path, self._line(path)))

    def _line(self, path: str) -> int | None:
        """Return the line of a key, or of what it would stand in when it is absent."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path)


# -------------------------------------------------------------------------------------------------- server


def _clean_server(config: Config, report: _Report) -> Config:
    for name, value in (("cert", config.tls.cert), ("key", config.tls.key)):
        if config.tls.enable and not value:
            report.refuse(f"tls.{name}", "is needed when tls.enable is true")
    secret = config.remote_management.secret_key.reveal()
    if not is_hashed_secret(secret) and len(secret.encode("utf-8", "surrogatepass")) > MAX_SECRET_BYTES:
        report.refuse("remote-management.secret-key", f"is longer than {MAX_SECRET_BYTES} bytes")
    return attrs.evolve(
        config,
        host=_clean_host(config.host, report),
        auth_dir=config.auth_dir or DEFAULT_AUTH_DIR,
        api_keys=_clean_plain_keys(config.api_keys, report),
        cors_allowed_origins=_clean_origins(config.cors_allowed_origins, report),
        proxy_url=_clean_global_proxy(config.proxy_url, report),
    )


def _clean_host(host: str, report: _Report) -> str:
    address = host.removeprefix("[").removesuffix("]")
    if "/" in address or any(char.isspace() for char in address):
        report.refuse("host", "must be an address or a host name, without scheme, port or path")
    return address


def _clean_plain_keys(keys: Iterable[Secret], report: _Report) -> tuple[Secret, ...]:
    found: dict[str, Secret] = {}
    for index, secret in enumerate(keys):
        text = secret.reveal().strip()
        path = f"api-keys[{index}]"
        if not text:
            continue
        if SAMPLE_KEY.fullmatch(text.lower()):
            report.refuse(path, SAMPLE)
        elif len(text) < SHORT_KEY and text not in found:
            report.warn(path, SHORT)
        found.setdefault(text, Secret(text))
    return tuple(found.values())


def _clean_client_keys(config: Config, report: _Report) -> Config:
    for finding in findings(config.client_keys, config.api_keys):
        note = report.refuse if finding.fatal else report.warn
        note(finding.path, finding.message)
    return attrs.evolve(config, client_keys=tuple(map(normal_client_key, config.client_keys)))


def _clean_origins(origins: Iterable[str], report: _Report) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for index, origin in enumerate(origins):
        text = normal_url(origin).lower()
        if text == "*" or (text and url_problem(text) is None and text.count("/") == len("//")):
            found[text] = None
        elif text:
            report.warn(
                f"cors-allowed-origins[{index}]",
                "is not an origin such as https://chat.example.com; left out",
            )
    return tuple(found)


def _clean_global_proxy(proxy: Secret, report: _Report) -> Secret:
    text = proxy.reveal().strip()
    if problem := proxy_problem(text):
        report.refuse("proxy-url", problem)
    return Secret(text)


def _clean_texts(config: Config, report: _Report) -> Config:
    """Let texts that break their own syntax fall back to their defaults."""
    default = Config()
    if duration_s(config.routing.session_affinity_ttl) is None:
        report.warn(
            "routing.session-affinity-ttl", "is not a duration such as 30m or 1h; the default is used"
        )
        routing = attrs.evolve(config.routing, session_affinity_ttl=default.routing.session_affinity_ttl)
        config = attrs.evolve(config, routing=routing)
    if duration_s(config.video_result_auth_cache_ttl) is None:
        report.warn("video-result-auth-cache-ttl", "is not a duration such as 30m or 3h; the default is used")
        config = attrs.evolve(config, video_result_auth_cache_ttl=default.video_result_auth_cache_ttl)
    if config.request_delay and delay_range_s(config.request_delay) is None:
        report.warn("request-delay", 'is not two numbers of seconds such as "1,5"; left out')
        config = attrs.evolve(config, request_delay=default.request_delay)
    url = config.model_catalog_url.strip()
    if url and (problem := url_problem(url)):
        report.warn("model-catalog-url", f"{problem}; left out")
        url = ""
    config = attrs.evolve(config, model_catalog_url=url)
    if not config.gpt_image_2_base_model.startswith("gpt-"):
        report.warn("gpt-image-2-base-model", "does not begin with gpt-; the default is used")
        config = attrs.evolve(config, gpt_image_2_base_model=default.gpt_image_2_base_model)
    return config


# ----------------------------------------------------------------------------------------------- key lists


def _clean_key_lists(config: Config, report: _Report) -> Config:
    return attrs.evolve(
        config,
        gitlab_api_key=_clean_entries(config.gitlab_api_key, _GITLAB, report),
        claude_api_key=_clean_entries(config.claude_api_key, _PLAIN, report),
        codex_api_key=_clean_entries(config.codex_api_key, _CODEX, report),
        gemini_api_key=_clean_entries(config.gemini_api_key, _GEMINI, report),
        vertex_api_key=_clean_entries(config.vertex_api_key, _VERTEX, report),
        interactions_api_key=_clean_entries(config.interactions_api_key, _GEMINI, report),
        xai_api_key=_clean_entries(config.xai_api_key, _PLAIN, report),
        openai_compatibility=_clean_compatible(config.openai_compatibility, report),
    )


def _clean_entries(entries: Iterable[KeyEntry], rule: ListRule, report: _Report) -> tuple[KeyEntry, ...]:
    found: list[KeyEntry] = []
    seen: set[tuple[str, str, str]] = set()
    for entry in entries:
        cleaned = attrs.evolve(
            entry,
            api_key=_trimmed(entry.api_key),
            base_url=normal_url(entry.base_url, assume_https=rule.assume_https),
            ai_gateway_url=normal_url(entry.ai_gateway_url, assume_https=rule.assume_https),
            proxy_url=_clean_proxy(entry.proxy_url, entry.place, report),
            prefix=_clean_prefix(entry.prefix, entry.place, report),
            headers=_clean_headers(entry.headers, entry.place, report),
            excluded_models=normal_patterns(entry.excluded_models),
            models=_clean_models(entry, report, needs_alias=rule.needs_alias),
            request_scoped_errors=_clean_own_rules(entry, report),
        )
        identity = (cleaned.api_key.reveal(), cleaned.base_url, cleaned.prefix)
        if reason := _unusable(cleaned, rule):
            report.warn(entry.place, f"{reason}; the entry is not used")
        elif rule.unique and identity in seen:
            report.warn(entry.place, "repeats an earlier entry and is not used")
        else:
            seen.add(identity)
            found.append(cleaned)
    return tuple(found)


def _unusable(entry: KeyEntry, rule: ListRule) -> str | None:
    if not entry.api_key and (rule.needs_key or not entry.base_url):
        return "has no api-key"
    if rule.needs_base_url and not entry.base_url:
        return "has no base-url"
    addresses = (("base-url", entry.base_url), ("ai-gateway-url", entry.ai_gateway_url))
    problems = (f"{name} {problem}" for name, url in addresses if url and (problem := url_problem(url)))
    return next(problems, None)


def _clean_compatible(entries: Iterable[CompatibleEntry], report: _Report) -> tuple[CompatibleEntry, ...]:
    found: list[CompatibleEntry] = []
    for entry in entries:
        url = normal_url(entry.base_url)
        problem = url_problem(url) if url else "is missing"
        if problem:
            report.warn(entry.place, f"base-url {problem}; the entry is not used")
            continue
        keys = tuple(
            attrs.evolve(
                key, api_key=_trimmed(key.api_key), proxy_url=_clean_proxy(key.proxy_url, key.place, report)
            )
            for key in entry.api_key_entries
        )
        cleaned = attrs.evolve(
            entry,
            base_url=url,
            api_key_entries=keys,
            prefix=_clean_prefix(entry.prefix, entry.place, report),
            headers=_clean_headers(entry.headers, entry.place, report),
            excluded_models=normal_patterns(entry.excluded_models),
            models=_clean_models(entry, report),
            request_scoped_errors=_clean_own_rules(entry, report),
        )
        found.append(cleaned)
    return tuple(found)


def _trimmed(secret: Secret) -> Secret:
    return Secret(secret.reveal().strip())


def _clean_proxy(proxy: Secret, place: str, report: _Report) -> Secret:
    text = proxy.reveal().strip()
    if problem := proxy_problem(text):
        # Kept as it is: a key whose proxy is wrong must fail, not go out by another way.
        report.warn(f"{place}.proxy-url", f"{problem}; the key cannot be used")
    return Secret(text)


def _clean_prefix(text: str, place: str, report: _Report) -> str:
    prefix = normal_prefix(text)
    if text.strip("/ ") and not prefix:
        report.warn(f"{place}.prefix", "has a slash inside and is left out")
    return prefix


def _clean_headers(headers: Mapping[str, str], place: str, report: _Report) -> Mapping[str, str]:
    kept = normal_headers(headers)
    for name, value in headers.items():
        if value.strip() and name.strip() not in kept:
            report.warn(f"{place}.headers.{name}", "cannot be sent as a header and is left out")
    return kept


def _clean_models(
    entry: KeyEntry | CompatibleEntry, report: _Report, *, needs_alias: bool = False
) -> tuple[ModelName, ...]:
    found: list[ModelName] = []
    for index, model in enumerate(entry.models):
        if model.name and (model.alias or not needs_alias):
            found.append(model)
        else:
            lacking = "alias" if model.name else "name"
            report.warn(f"{entry.place}.models[{index}]", f"has no {lacking} and is left out")
    return tuple(found)


def _clean_own_rules(entry: KeyEntry | CompatibleEntry, report: _Report) -> tuple[ScopedError, ...]:
    rules = enumerate(entry.request_scoped_errors)
    return _clean_error_rules(
        ((f"{entry.place}.request-scoped-errors[{index}]", rule) for index, rule in rules), report
    )


def _clean_error_rules(rules: Iterable[tuple[str, ScopedError]], report: _Report) -> tuple[ScopedError, ...]:
    found: list[ScopedError] = []
    for path, rule in rules:
        faults = list(faults_of(rule))
        for where, message in faults:
            report.warn(f"{path}{where}", f"{message}; the rule is dropped")
        if not faults:
            found.append(rule)
    return tuple(found)


# ------------------------------------------------------------------------------------------- accounts' models


def _clean_account_models(config: Config, report: _Report) -> Config:
    return attrs.evolve(
        config,
        oauth_model_alias=_clean_aliases(config.oauth_model_alias, report),
        oauth_excluded_models=_clean_exclusions(config.oauth_excluded_models),
        model_facts=_clean_facts(config.model_facts, report),
        oauth_request_scoped_errors=_clean_account_rules(config.oauth_request_scoped_errors, report),
    )


def _by_channel(values: Mapping[str, tuple[Item, ...]]) -> dict[str, list[tuple[str, Item]]]:
    """Gather entries under the normal spelling of their channel, each with its place."""
    found: dict[str, list[tuple[str, Item]]] = {}
    for channel, items in values.items():
        if name := channel.strip().lower():
            found.setdefault(name, []).extend(
                (f"{channel}[{index}]", item) for index, item in enumerate(items)
            )
    return found


def _clean_aliases(
    values: Mapping[str, tuple[ModelName, ...]], report: _Report
) -> Mapping[str, tuple[ModelName, ...]]:
    found: dict[str, tuple[ModelName, ...]] = {}
    for channel, models in _by_channel(values).items():
        kept: dict[str, ModelName] = {}
        for place, model in models:
            path = f"oauth-model-alias.{place}"
            alias = model.alias.lower()
            if not model.name or not alias:
                report.warn(path, f"has no {'alias' if model.name else 'name'} and is left out")
            elif alias == model.name.lower():
                report.warn(path, "has an alias equal to its name and is left out")
            elif alias in kept:
                report.warn(path, "repeats an alias and is left out")
            else:
                kept[alias] = model
        found[channel] = tuple(kept.values())
    return found


def _clean_facts(
    values: Mapping[str, tuple[ModelFacts, ...]], report: _Report
) -> Mapping[str, tuple[ModelFacts, ...]]:
    found: dict[str, tuple[ModelFacts, ...]] = {}
    for channel, facts in _by_channel(values).items():
        kept: dict[str, ModelFacts] = {}
        for place, fact in facts:
            path = f"model-facts.{place}"
            if not fact.name:
                report.warn(path, "has no name and is left out")
            elif fact.name in kept:
                report.warn(path, f"is about `{fact.name}` like an earlier entry, and replaces it")
            kept[fact.name] = fact
        found[channel] = tuple(fact for name, fact in kept.items() if name)
    return found


def _clean_exclusions(values: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    return {
        channel: normal_patterns(pattern for _, pattern in items)
        for channel, items in _by_channel(values).items()
    }


def _clean_account_rules(
    values: Mapping[str, tuple[ScopedError, ...]], report: _Report
) -> Mapping[str, tuple[ScopedError, ...]]:
    return {
        channel: _clean_error_rules(
            ((f"oauth-request-scoped-errors.{place}", rule) for place, rule in items), report
        )
        for channel, items in _by_channel(values).items()
    }


# ------------------------------------------------------------------------------------------------- payload

Rule = TypeVar("Rule", PayloadRule, PayloadFilter)


def _clean_payload(config: Config, report: _Report) -> Config:
    rules = config.payload
    payload = Payload(
        default=_clean_rules(rules.default, "payload.default", report),
        default_raw=_clean_rules(rules.default_raw, "payload.default-raw", report, is_raw=True),
        override=_clean_rules(rules.override, "payload.override", report),
        override_raw=_clean_rules(rules.override_raw, "payload.override-raw", report, is_raw=True),
        filter=_clean_rules(rules.filter, "payload.filter", report),
    )
    return attrs.evolve(config, payload=payload)


def _clean_rules(
    rules: Iterable[Rule], path: str, report: _Report, *, is_raw: bool = False
) -> tuple[Rule, ...]:
    found: list[Rule] = []
    for index, rule in enumerate(rules):
        place = f"{path}[{index}]"
        cleaned = attrs.evolve(rule, models=_clean_occasions(rule.models, f"{place}.models", report))
        faults = list(_faults_of_rule(cleaned, is_raw=is_raw))
        for where, message in faults:
            report.warn(f"{place}{where}", f"{message}; the payload rule is dropped")
        if not faults:
            found.append(cleaned)
    return tuple(found)


def _faults_of_rule(rule: PayloadRule | PayloadFilter, *, is_raw: bool) -> Iterator[tuple[str, str]]:
    """Yield what is wrong and where: with one path missing a rule would do something else than was meant."""
    if not rule.params:
        yield "", "has no params"
    elif not rule.models:
        yield "", "has no models and is about no request"
    if isinstance(rule, PayloadFilter):
        yield from _faults_of_paths(".params", rule.params)
        return
    yield from _faults_of_names(".params", rule.params)
    if is_raw:
        for name, value in rule.params.items():
            if not _is_raw_json(value):
                yield f".params.{name}", "is invalid raw JSON"


def _clean_occasions(entries: Iterable[PayloadModel], path: str, report: _Report) -> tuple[PayloadModel, ...]:
    """Leave out what matches no request, so that the other entries of the rule go on working."""
    found: list[PayloadModel] = []
    for index, entry in enumerate(entries):
        faults = list(_faults_of_occasion(entry))
        for where, message in faults:
            report.warn(f"{path}[{index}]{where}", f"{message}; the entry matches no request")
        if not faults:
            found.append(entry)
    return tuple(found)


def _faults_of_occasion(entry: PayloadModel) -> Iterator[tuple[str, str]]:
    if not entry.name:
        yield "", 'has no name; "*" stands for every model'
    for key, word in (("protocol", entry.protocol), ("from-protocol", entry.from_protocol)):
        if word and word.strip().lower() not in PAYLOAD_PROTOCOLS:
            yield f".{key}", f"is none of {', '.join(sorted(PAYLOAD_PROTOCOLS))}"
    for key, pairs in (("match", entry.match), ("not-match", entry.not_match)):
        for index, pair in enumerate(pairs):
            yield from _faults_of_names(f".{key}[{index}]", pair)
    yield from _faults_of_paths(".exist", entry.exist)
    yield from _faults_of_paths(".not-exist", entry.not_exist)


def _faults_of_names(place: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    yield from ((f"{place}.{name}", fault) for name in names if (fault := _fault_of_path(name)))


def _faults_of_paths(place: str, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    for index, path in enumerate(paths):
        if fault := _fault_of_path(path):
            yield f"{place}[{index}]", fault


def _fault_of_path(path: str) -> str | None:
    try:
        jsonpath.parse(path)
    except jsonpath.PathError as exc:
        return f"the path {exc}"
    return None


def _is_raw_json(value: JsonValue) -> bool:
    if not isinstance(value, str):
        return True
    try:
        loads(value)
    except JsonError:
        return False
    return True


_STEPS: Final = (
    _clean_server,
    _clean_client_keys,
    _clean_texts,
    _clean_key_lists,
    _clean_account_models,
    _clean_payload,
)
