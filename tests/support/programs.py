"""What Claude Code, Codex and Gemini CLI send, as it was seen on the wire, with fewer words and tools.

Seen with Claude Code 2.1.197, Codex 0.169.0 and Gemini CLI 0.61.0. Each function returns the body of one
request; a test says what the variable parts are. What looks odd here (an item with ``content: null``, a
message with the role ``system`` behind the first one of the user) is what these programs do.
"""

from typing import Any, Final

JSON = dict[str, Any]

# --- Claude Code -------------------------------------------------------------------------------------------

CLAUDE_CODE_HEADERS: Final = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": (
        "claude-code-20250219,context-1m-2025-08-07,interleaved-thinking-2025-05-14,"
        "thinking-token-count-2026-05-13,context-management-2025-06-27,prompt-caching-scope-2026-01-05,"
        "mid-conversation-system-2026-04-07,effort-2025-11-24"
    ),
    "anthropic-dangerous-direct-browser-access": "true",
    "User-Agent": "claude-cli/2.1.197 (external, sdk-cli)",
    "x-app": "cli",
    "X-Claude-Code-Session-Id": "6a5f8f3e-0f25-4c7d-9a3e-2f1f6a7b8c9d",
    "X-Stainless-Lang": "js",
    "x-api-key": "sk-local",
}
CLAUDE_CODE_PATH: Final = "/v1/messages?beta=true"
_CACHED: Final = {"cache_control": {"type": "ephemeral"}}
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
CLAUDE_CODE_TOOLS: Final = [
    {
        "name": "Bash",
        "description": "Executes a given bash command.",
        "input_schema": {
            "$schema": _DIALECT,
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "The command to execute", "minLength": 1},
                "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 600000},
                "run_in_background": {"type": "boolean", "default": False},
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    },
    {
        "name": "AskUserQuestion",
        "description": "Asks the user.",
        "input_schema": {
            "$schema": _DIALECT,
            "type": "object",
            "properties": {
                "questions": {
                    "type": "array",
                    "maxItems": 4,
                    "items": {
                        "type": "object",
                        "properties": {
                            "header": {"type": "string", "maxLength": 12, "pattern": "^[A-Z]"},
                            "kind": {"anyOf": [{"const": "single"}, {"const": "multi"}]},
                            "url": {"type": "string", "format": "uri"},
                        },
                        "required": ["header"],
                        "additionalProperties": False,
                    },
                },
                "answers": {
                    "type": "object",
                    "propertyNames": {"type": "string"},
                    "additionalProperties": {"type": "string"},
                },
            },
            "required": ["questions"],
            "additionalProperties": False,
        },
    },
]
CLAUDE_CODE_AGENTS: Final = "Available agent types: general-purpose"


def claude_code(model: str, prompt: str, *later: JSON) -> JSON:
    """Return a request of the main conversation; ``later`` follows the first turn of the user."""
    return {
        "model": model,
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "text",
                        "text": "<system-reminder>\nToday's date is known.\n</system-reminder>",
                    },
                    {"type": "text", "text": prompt, **_CACHED},
                ],
            },
            {"role": "system", "content": [{"type": "text", "text": CLAUDE_CODE_AGENTS}]},
            *later,
        ],
        "system": [
            {
                "type": "text",
                "text": "x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=cli;",
            },
            {"type": "text", "text": "You are a Claude agent.", **_CACHED},
            {"type": "text", "text": "You help with software.", **_CACHED},
        ],
        "tools": CLAUDE_CODE_TOOLS,
        "metadata": {"user_id": '{"device_id":"0","account_uuid":"","session_id":"6a5f8f3e"}'},
        "max_tokens": 64000,
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
    }


def claude_code_older(model: str, prompt: str) -> JSON:
    """Return what is sent for models of before 4.6: a budget one below the limit, no system message."""
    body = claude_code(model, prompt)
    del body["output_config"]
    del body["messages"][1]
    return {**body, "max_tokens": 32000, "thinking": {"type": "enabled", "budget_tokens": 31999}}


def claude_code_result(call: JSON, output: str) -> JSON:
    """Return the message that answers a call."""
    block = {
        "tool_use_id": call["id"],
        "type": "tool_result",
        "content": output,
        "is_error": False,
        **_CACHED,
    }
    return {"role": "user", "content": [block]}


def claude_code_title(model: str, *, tools: bool = False) -> JSON:
    """Return the side request that asks for a title in a schema."""
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    body = {
        "model": model,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Name this"}]}],
        "system": [{"type": "text", "text": "Write a title."}],
        "max_tokens": 32000,
        "thinking": {"type": "disabled"},
        "temperature": 1,
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
        "stream": True,
    }
    return {**body, "tools": CLAUDE_CODE_TOOLS[:1]} if tools else {**body, "tools": []}


# --- Codex -------------------------------------------------------------------------------------------------

CODEX_HEADERS: Final = {
    "Authorization": "Bearer sk-local",
    "Accept": "text/event-stream",
    "originator": "codex_exec",
    "User-Agent": "codex_exec/0.169.0 (Debian 13.0.0; x86_64) unknown",
    "session-id": "019a0000-0000-7000-8000-000000000001",
    "thread-id": "019a0000-0000-7000-8000-000000000001",
    "x-client-request-id": "019a0000-0000-7000-8000-000000000001",
    "x-codex-window-id": "019a0000-0000-7000-8000-000000000001:0",
    "x-codex-beta-features": "remote_compaction_v2",
    "x-codex-turn-metadata": '{"turn_id":"019a0000-0000-7000-8000-000000000002"}',
}
CODEX_PATH: Final = "/v1/responses"
_EXEC: Final = {
    "type": "function",
    "name": "exec_command",
    "description": "Runs a command in a PTY.",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {
            "cmd": {"type": "string"},
            "sandbox": {"type": "string", "enum": ["use_default", "require_escalated"]},
        },
        "required": ["cmd"],
        "additionalProperties": False,
    },
}
_AGENTS: Final = {
    "type": "namespace",
    "name": "multi_agent_v1",
    "description": "Tools for spawning and managing sub-agents.",
    "tools": [
        {
            "type": "function",
            "name": "spawn_agent",
            "description": "Spawns an agent.",
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {"message": {"type": "string"}},
                "additionalProperties": False,
            },
        }
    ],
}
CODEX_TOOLS: Final = [_EXEC, _AGENTS, {"type": "web_search", "external_web_access": False}]
CODEX_PROMPT: Final = "You are a coding agent running in the Codex CLI."


def codex(model: str, prompt: str, *later: JSON) -> JSON:
    """Return a request; ``later`` are the items that follow the prompt."""
    said = [
        ("developer", CODEX_PROMPT),
        ("developer", "<permissions instructions>Ask first.</permissions instructions>"),
        ("user", "<environment_context>\n  <cwd>/work</cwd>\n</environment_context>"),
        ("user", prompt),
    ]
    messages = [
        {
            "type": "message",
            "id": f"msg_019a0000-0000-7000-8000-00000000001{number}",
            "role": role,
            "content": [{"type": "input_text", "text": text}],
        }
        for number, (role, text) in enumerate(said)
    ]
    return {
        "model": model,
        "input": [*messages, *later],
        "tools": CODEX_TOOLS,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "019a0000-0000-7000-8000-000000000001",
        "client_metadata": {"x-codex-installation-id": "019a0000-0000-7000-8000-000000000009"},
    }


def codex_later(items: list[JSON], outputs: dict[str, str]) -> list[JSON]:
    """Return what the second turn sends back of the first answer's items, with the outputs of its calls."""
    back: list[JSON] = []
    for item in items:
        if item["type"] == "reasoning":
            kept = {key: item[key] for key in ("type", "id", "summary", "encrypted_content") if key in item}
            back.append({**kept, "content": None})
        elif item["type"] == "function_call":
            back.append(item)
            answer = {"type": "function_call_output", "id": f"fco_{len(back)}", "call_id": item["call_id"]}
            back.append({**answer, "output": outputs[item["name"]]})
        else:
            back.append(item)
    return back


# --- Gemini CLI --------------------------------------------------------------------------------------------

SKIPPED: Final = "skip_thought_signature_validator"


def gemini_cli_headers(model: str) -> dict[str, str]:
    """Return the headers, which name the model."""
    return {
        "x-goog-api-key": "local",
        "User-Agent": f"GeminiCLI-tui/0.61.0/{model} (linux; x64; terminal)",
        "x-goog-api-client": "google-genai-sdk/1.30.0 gl-node/v22.20.0",
    }


def gemini_cli_path(model: str) -> str:
    """Return where the requests go."""
    return f"/v1beta/models/{model}:streamGenerateContent?alt=sse"


def gemini_cli(prompt: str, *later: JSON) -> JSON:
    """Return a request; ``later`` are the contents that follow the prompt."""
    declaration = {
        "name": "run_shell_command",
        "description": "Runs a shell command.",
        "parametersJsonSchema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "command": {"type": "string"},
                "mode": {"type": "string", "enum": ["fast", "slow"]},
                "limit": {"type": "number", "minimum": 1},
                "name": {"type": "string", "pattern": "^[a-z]+$"},
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    }
    return {
        "contents": [
            {"role": "user", "parts": [{"text": "<session_context>\nToday is known.\n</session_context>"}]},
            {"role": "user", "parts": [{"text": prompt}]},
            *later,
        ],
        "systemInstruction": {"parts": [{"text": "You are Gemini CLI."}]},
        "tools": [{"functionDeclarations": [declaration]}],
        "generationConfig": {
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
        },
    }


def gemini_cli_later(parts: list[JSON], output: str) -> list[JSON]:
    """Return what the second turn sends back of an answer with a call: unsigned calls get a placeholder."""
    said = [part for part in parts if not part.get("thought") and part.get("text") != ""]
    model: list[JSON] = []
    answers: list[JSON] = []
    for part in said:
        if "functionCall" not in part:
            model.append(part)
            continue
        call = {"id": f"run_shell_command_1763710000000_{len(answers)}", **part["functionCall"]}
        model.append({"thoughtSignature": SKIPPED, **part, "functionCall": call})
        response = {"id": call["id"], "name": call["name"], "response": {"output": output}}
        answers.append({"functionResponse": response})
    return [{"role": "model", "parts": model}, {"role": "user", "parts": answers}]
