"""The built-in demo model: an upstream inside this process that imitates a language model.

It needs no account and no network, answers the same request with the same bytes every time, and shows on
demand what a real upstream can do: tool calls, reasoning, structured output, slow answers, errors. It speaks
the ``openai`` dialect, so that everything between it and a client is the real thing. Everywhere it appears it
says that it is not a real model.
"""

from cliproxy.providers.demo.model import DemoAnswer, demo_answer
from cliproxy.providers.demo.provider import PROVIDER, demo_credential

__all__ = ["PROVIDER", "DemoAnswer", "demo_answer", "demo_credential"]
