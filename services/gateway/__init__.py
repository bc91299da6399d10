"""The HTTP edge: models in the protocols of OpenAI, Anthropic and Gemini, jobs and their events, the trail of a job.

Answers: HTTP.
Calls: llm.complete, llm.stream, llm.count, llm.embed, llm.rerank, llm.models, llm.response, jobs api, audit api,
policy.authenticate.
Keeps: nothing, but for a minute who stands behind a key.
"""
