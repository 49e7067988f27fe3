"""Settings a model refuses."""

import pytest

from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, OutputFormat, Sampling
from cliproxy.ir.sampling import ABILITIES, OUTPUT, without_refused


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


def test_what_is_no_setting_is_not_taken_out_of_the_settings():
    request = IRRequest(model="m", messages=[], output=OutputFormat("json_object"))
    assert without_refused(request, ABILITIES, context()) is request


def test_a_form_that_the_model_cannot_keep_to_is_refused_by_the_clients_name_for_it():
    request = IRRequest(model="m", messages=[], output=OutputFormat("json_schema", schema={}))
    with pytest.raises(DialectError) as caught:
        without_refused(request, {OUTPUT}, context())
    assert caught.value.param == "output_config.format"
    assert "m cannot" in caught.value.message
