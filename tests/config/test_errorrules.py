"""The owner's rules about errors of upstreams."""

import pytest

from cliproxy.config.entries import ScopedError
from cliproxy.config.errorrules import MAX_SAID, compiled, faults_of, treatment_of
from cliproxy.config.load import examine
from cliproxy.errors import Treatment

SAID = '{"error":{"message":"Your Account is over its plan","code":"plan_limit"}}'


@pytest.mark.parametrize(
    ("rule", "is_about"),
    [
        (ScopedError(), True),
        (ScopedError(status=403), True),
        (ScopedError(status=429), False),
        (ScopedError(match=("over its plan",)), True),
        (ScopedError(match=("OVER ITS PLAN",)), True),
        (ScopedError(match=("nothing", "plan_limit")), True),
        (ScopedError(match=("nothing",)), False),
        (ScopedError(status=429, match=("plan_limit",)), False),
        (ScopedError(match_regexr=("plan_[a-z]+",)), True),
        (ScopedError(match_regexr=("PLAN_",)), False),
        (ScopedError(match_regexr=("(?i)PLAN_",)), True),
        (ScopedError(match=("nothing",), match_regexr=("^.{5}r?",)), True),
    ],
)
def test_which_errors_are_meant(rule: ScopedError, is_about: bool) -> None:
    assert (treatment_of(compiled([rule]), 403, SAID) is not None) is is_about


def test_the_first_rule_that_is_about_an_error_counts() -> None:
    rules = compiled(
        [
            ScopedError(status=500, action="stop"),
            ScopedError(match=("plan",), action="continue-and-cooldown"),
            ScopedError(action="stop"),
        ]
    )
    assert treatment_of(rules, 403, SAID) is Treatment.GO_ON_AND_COOL
    assert treatment_of(rules, 403, "other") is Treatment.STOP
    assert treatment_of((), 403, SAID) is None


def test_only_the_beginning_of_a_long_body_is_looked_at() -> None:
    assert treatment_of(compiled([ScopedError(match=("end",))]), 500, "x" * MAX_SAID + "end") is None


def test_what_is_no_pattern_is_found() -> None:
    assert list(faults_of(ScopedError(match_regexr=("fine", ".*")))) == []
    [(where, message)] = faults_of(ScopedError(match_regexr=("fine", "(")))
    assert where == ".match-regexr[1]"
    assert message.startswith("is not a regular expression: ")


FILE = """
claude-api-key:
  - api-key: sk-ant-0123456789abcdef
    request-scoped-errors:
      - status: 429
        match-regexr: ["fine", "("]
      - status: 403
        action: continue
openai-compatibility:
  - base-url: https://x.example/v1
    request-scoped-errors:
      - {match-regexr: ["["]}
oauth-request-scoped-errors:
  GitLab:
    - {match: [x]}
    - {match-regexr: ["*"]}
"""


def test_a_pattern_that_is_none_is_reported_with_its_line_and_its_rule_dropped() -> None:
    found = examine(FILE, "config.yaml")
    problems = {(problem.path, problem.line) for problem in found.warnings}
    assert problems == {
        ("claude-api-key[0].request-scoped-errors[0].match-regexr[1]", 6),
        ("openai-compatibility[0].request-scoped-errors[0].match-regexr[0]", 12),
        ("oauth-request-scoped-errors.GitLab[1].match-regexr[0]", 16),
    }
    [entry] = found.config.claude_api_key
    assert [rule.status for rule in entry.request_scoped_errors] == [403]
    assert found.config.openai_compatibility[0].request_scoped_errors == ()
    assert [rule.match for rule in found.config.oauth_request_scoped_errors["gitlab"]] == [("x",)]
