"""The HTTP edge: OpenAI chat completions and models, jobs and their events, the audit trail of a job.

Answers: HTTP.
Calls: llm.complete, llm.stream, llm.models, jobs api, audit api, policy.authenticate.
Keeps: nothing, but for a minute who stands behind a key.
"""
