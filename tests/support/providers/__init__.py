"""Model providers as their documentation describes them: OpenAI chat and Responses, Anthropic Messages, Gemini.

Written from the documented wires alone; nothing of the router is used, so that the two cannot share a mistake.
"""
