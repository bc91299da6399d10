"""Words in a tool's output that are meant for the model rather than the reader. Advice only: whoever wants to can
say it otherwise; the defence is taint and policy.
"""

from collections.abc import Iterator

from penstock.guard.finding import Finding
from penstock.guard.rule import Match, Rule

_MARKS = (
    r"\b(?:ignore|disregard|forget|override|bypass)(?:\s+\w+){0,4}?\s+(?:previous|prior|above|earlier|preceding|system|original|your|all)"
    r"(?:\s+\w+){0,2}?\s+(?:instructions?|prompts?|rules?|guidelines?|directions?|context)\b",
    r"\byou\s+are\s+now\s+(?:a|an|the|in|called|dan)\b",
    r"\b(?:new|updated|real|actual)\s+(?:system\s+)?instructions?\s*:",
    r"\bdo\s+not\s+(?:tell|inform|mention|reveal|show|alert|notify)(?:\s+\w+){0,4}?\s+(?:user|human|operator|anyone)\b",
    r"\bwithout\s+(?:telling|informing|asking|notifying)\s+(?:the\s+)?(?:user|human|operator)\b",
    r"\b(?:reveal|print|repeat|output|show|leak)(?:\s+\w+){0,3}?\s+(?:system|hidden|initial|developer)\s+(?:prompt|instructions?|message)\b",
    r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)[^>\n]{0,40}\|?>",
    r"(?:\[/?INST\]|<</?SYS>>)",
    r"</?(?:system|important|instructions?|assistant|tool_result|function_results?)\s*>",
    r"(?:^|\n)\s*#{0,4}\s*(?:system|assistant|developer)\s*(?:prompt|message)?\s*:\s",
    r"\bimportant\s*:?\s+(?:message|note|instructions?)\s+(?:to|for)\s+(?:the\s+)?(?:ai|assistant|llm|model|agent|chatbot)\b",
    r"\b(?:if|since|as)\s+you\s+are\s+an?\s+(?:ai|llm|language\s+model|assistant|agent)\b",
    r"\b(?:send|forward|post|upload|exfiltrate|email)(?:\s+\w+){0,6}?\s+(?:api\s+keys?|credentials|passwords?|conversation|secrets?)(?:\s+\w+){0,4}?\s+to\b",
    r"\b(?:jailbreak|developer\s+mode|dan\s+mode)\b",
)


def _marked(match: Match) -> Iterator[Finding]:
    yield match.finding("INSTRUCTIONS")


INSTRUCTION_RULE = Rule("(?i)(?:" + "|".join(_MARKS) + ")", _marked)
