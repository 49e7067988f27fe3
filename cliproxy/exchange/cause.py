"""How an exchange ended, in two letters: who ended it, and in which phase it was.

Whoever looks for the reason of a broken answer wants to know first on which side to look. Both letters come
from what has happened, not from the text of an error: the phase is moved on by the steps of the exchange
themselves, and who ended it follows from what ended it.

========  ==========================================  ========  =============================================
 First     Ended by                                    Second    Phase
========  ==========================================  ========  =============================================
 ``-``     nobody: a complete answer                   ``-``     complete
 ``C``     the client, who left                        ``R``     the request, before anybody was to be asked
 ``U``     the upstream: a refusal, a broken answer,   ``Q``     waiting for a place or the end of a pause
           silence                                     ``H``     before the head of an upstream's answer
 ``L``     a limit or a rule of this server            ``B``     before the first byte for the client
 ``S``     this server: a stop, or a fault of it       ``D``     in the data
========  ==========================================  ========  =============================================
"""

from enum import StrEnum
from typing import Final

from cliproxy.errors import AnswerCut, Failure, Kind, NothingReady, ProxyError, UpstreamError

STOPPED: Final = "stopping"
"""Code of what the end of the server does to an exchange."""


class EndedBy(StrEnum):
    """Who ended an exchange."""

    NOBODY = "-"
    CLIENT = "C"
    UPSTREAM = "U"
    LIMIT = "L"
    SERVER = "S"


class Phase(StrEnum):
    """How far an exchange came."""

    COMPLETE = "-"
    REQUEST = "R"
    QUEUE = "Q"
    HEAD = "H"
    BODY = "B"
    DATA = "D"


def ended_by(error: BaseException) -> EndedBy:
    """Say who is behind an error that ended an exchange. That of a client that left is not one."""
    match error:
        case AnswerCut(failure=failure):
            return _blamed(failure)
        case UpstreamError(failures=failures):
            return _blamed(failures[-1])
        case NothingReady(code=code) if code == STOPPED:
            return EndedBy.SERVER
        case ProxyError(kind=kind) if kind is not Kind.INTERNAL:
            return EndedBy.LIMIT
        case _:
            return EndedBy.SERVER


def _blamed(failure: Failure) -> EndedBy:
    is_ours = failure.code == STOPPED or failure.kind is Kind.INTERNAL
    return EndedBy.SERVER if is_ours else EndedBy.UPSTREAM
