"""The HTTP edge: models in OpenAI's, Anthropic's and Gemini's protocols, jobs and their events, the audit trail of a job.

Answers: HTTP.
Calls: llm.complete, llm.stream, llm.count, llm.embed, llm.rerank, llm.models, llm.response, jobs api, audit api,
policy.authenticate.
Keeps: nothing, but for a minute who stands behind a key.
"""
