"""Settings a model refuses."""

from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, Sampling
from cliproxy.ir.sampling import without_refused


def context() -> ExchangeContext:
    return ExchangeContext(
        client_dialect="claude",
        upstream_dialect="openai",
        requested_model="m",
        upstream_model="m",
        now=0,
        random_hex=lambda digits: "0" * digits,
    )


def test_refused_settings_go_with_a_note_and_the_others_stay():
    sampling = Sampling(max_tokens=9, temperature=0.5, stop=["X"], seed=1)
    noted = context()
    request = without_refused(
        IRRequest(model="m", messages=[], sampling=sampling), {"temperature", "stop", "top_p"}, noted
    )
    assert request.sampling == Sampling(max_tokens=9, seed=1)
    assert noted.notes == ["the model does not take stop", "the model does not take temperature"]
    assert sampling.temperature == 0.5, "passes build new nodes"


def test_the_limit_stays_for_the_encoder_to_rename():
    request = IRRequest(model="m", messages=[], sampling=Sampling(max_tokens=9))
    noted = context()
    assert without_refused(request, {"max_tokens"}, noted) is request
    assert noted.notes == []
