"""Why a message ended, in Anthropic's words and in ours. Pure."""

from services.router.protocols.answer import Finish

_READ = {
    "end_turn": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "tool_use": Finish.TOOLS,
    "pause_turn": Finish.PAUSED,
    "compaction": Finish.PAUSED,
    "refusal": Finish.REFUSED,
    "model_context_window_exceeded": Finish.CONTEXT,
}
_WRITTEN = {
    Finish.STOP: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.TOOLS: "tool_use",
    Finish.FILTERED: "refusal",
    Finish.REFUSED: "refusal",
    Finish.PAUSED: "pause_turn",
    Finish.CONTEXT: "model_context_window_exceeded",
}
_BY_CALLS = frozenset({Finish.STOP, Finish.STOP_SEQUENCE, Finish.TOOLS})


def finish_of(word: str, *, calls: bool) -> Finish:
    """`calls`: the answer holds a tool call. One in an answer that ran out of tokens may be half a call, and is not to
    be carried out. A word that we do not know is an ordinary stop."""
    finish = _READ.get(word, Finish.STOP)
    if finish in _BY_CALLS and calls:
        return Finish.TOOLS
    return Finish.STOP if finish is Finish.TOOLS else finish


def stop_reason(finish: Finish, *, calls: bool) -> str:
    """`tool_use` if there are calls to carry out, and only then, whatever the provider's word was."""
    if finish in _BY_CALLS and calls:
        return "tool_use"
    return "end_turn" if finish is Finish.TOOLS else _WRITTEN[finish]
