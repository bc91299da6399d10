"""A Job from plain Python values."""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.jobs import Budget, Job, Kind


def job(
    kind: Kind,
    input: object,
    *,
    agent: str = "",
    model: str = "",
    tool: str = "",
    session: str = "",
    collection: str = "",
    usd: float = 0.0,
    tokens: int = 0,
    deadline_s: float = 0.0,
    idempotency_key: str = "",
    labels: dict[str, str] | None = None,
    id: str = "",
) -> Job:
    """A job to submit. `input` is anything that JSON can say; `usd` and `tokens` are its budget (0: none of its own).

    Without an idempotency key it gets an id here, so that sending it again is never a second job.
    Raises Failure(INVALID) for an input that JSON cannot say.
    """
    try:
        raw = msgspec.Raw(msgspec.json.encode(input))
    except (TypeError, ValueError) as error:
        raise Failure(Code.INVALID, f"the input cannot be written as JSON: {error}", param="input") from error
    return Job(
        kind=kind,
        input=raw,
        id=id or ("" if idempotency_key else new_id("job")),
        agent=agent,
        model=model,
        tool=tool,
        session=session,
        collection=collection,
        budget=Budget(usd=usd, tokens=tokens),
        deadline_s=deadline_s,
        idempotency_key=idempotency_key,
        labels=labels or {},
    )
