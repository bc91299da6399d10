"""Penstock: what a tenant's program can ask of the plane, over its own NATS connection."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeVar

from penstock.bus import Bus, BusConfig, Subscription
from penstock.client.access import Access
from penstock.client.approvals import Bell, until_over
from penstock.client.approvals import follow as follow_page
from penstock.client.feed import Feed
from penstock.client.follow import Follower, Limits, patiently
from penstock.client.keys import Keys
from penstock.client.order import FINAL_EVENTS
from penstock.client.profile import Profile, find_profile
from penstock.contracts import audit, jobs, money
from penstock.contracts.approvals import Approval, ApprovalAnswer, ApprovalListRequest, ApprovalPage, ApprovalRef
from penstock.contracts.delegation import Chain, ChainRequest, RunRevoke, RunRevoked
from penstock.contracts.endpoint import Call
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import (
    ACCOUNT_STATEMENT,
    ACCOUNTS,
    APPROVAL_ANSWER,
    APPROVAL_EVENT,
    APPROVAL_GET,
    APPROVAL_LIST,
    AUDIT_TRAIL,
    AUDIT_VERIFY,
    CHAIN,
    RUN_REVOKE,
)
from penstock.contracts.ids import is_token, job_id, new_id
from penstock.contracts.ids import token as valid_token
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import (
    JOB_CANCEL,
    JOB_EVENT,
    JOB_EVENTS,
    JOB_GET,
    JOB_LIST,
    JOB_PUBLISH,
    JOB_SUBMIT,
    JOB_TOKEN,
    JOB_TOKENS,
)

Request = TypeVar("Request")
Reply = TypeVar("Reply")

PUBLISHED_APPEARS_S = 30.0
"""A published job waits in its queue until the plane takes it; for so long it may be unknown to a follower."""
FRAMES_MAX = 10_000
WITHOUT_CLAIM_CHECK = 1 << 40
"""A tenant may not use the plane's store for large bodies: what does not fit into a message is refused here."""


class Penstock:
    """Made by `Penstock.connect` or `penstock.connect`; use it in `async with`. Methods raise Failure."""

    def __init__(self, bus: Bus, tenant: str, access: Access, limits: Limits) -> None:
        self._bus = bus
        self.tenant = tenant
        self._access = access
        self._limits = limits

    @classmethod
    async def connect(
        cls,
        url: str = "nats://127.0.0.1:4222",
        *,
        tenant: str = "default",
        seed_file: str = "",
        api_key: str = "",
        token: str = "",
        ca_file: str = "",
        connect_timeout_s: float = 5.0,
        limits: Limits | None = None,
    ) -> "Penstock":
        """Connects as this tenant's client by the API key, which is also exchanged for the short-lived tokens that
        calls carry, unless a `token` is given for those. With a `seed_file` the connection is made by that nkey
        instead, for a broker whose configuration knows it.

        Raises Failure UNAVAILABLE when no broker is there or it lets nobody in with this key, INVALID for a bad file.
        """
        bus = await Bus.connect(
            BusConfig(
                url=url,
                principal="client",
                tenant=valid_token("tenant", tenant),
                seed_file=seed_file,
                token="" if seed_file else api_key,
                tls_ca_file=ca_file,
                connect_timeout_s=connect_timeout_s,
                claim_check_bytes=WITHOUT_CLAIM_CHECK,
            )
        )
        access = Access(bus, tenant, api_key="" if token else api_key, token=token)
        return cls(bus, tenant, access, limits or Limits())

    async def __aenter__(self) -> "Penstock":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection. Jobs go on."""
        await self._bus.close()

    @property
    def keys(self) -> Keys:
        """The tenant's API keys."""
        return Keys(self._call)

    # Jobs -------------------------------------------------------------------------------------------------------

    async def submit(self, job: jobs.Job) -> jobs.Submitted:
        """Has the job checked and taken. A bad one is refused at once: INVALID, DENIED, BUDGET_EXHAUSTED …

        TOO_LARGE above about 1 MB: the HTTP edge takes larger ones.
        """
        return await self._call(JOB_SUBMIT, job)

    async def publish(self, job: jobs.Job) -> jobs.Submitted:
        """Publishes the job onto its subject and returns when the broker has it on disk. It is not lost from then on.

        Nobody has looked at it yet: a job that is bad ends with a `refused` or `denied` event. Tries for a while, and
        raises UNAVAILABLE when no orchestrator takes it in.
        """
        job_name = job.id or (job_id(self.tenant, job.idempotency_key) if job.idempotency_key else "")
        if not job_name:
            raise Failure(Code.INVALID, "a job to publish needs an id or an idempotency key", param="id")
        meta = Meta(request=new_id("req"), token=await self._access.token(), idempotency_key=job.idempotency_key)
        await self._bus.deposit(JOB_PUBLISH, job, meta, tenant=self.tenant, kind=job.kind)
        return jobs.Submitted(job_name)

    async def get(self, id: str) -> jobs.JobView:
        """The job as it stands. Raises NOT_FOUND."""
        return await self._call(JOB_GET, jobs.JobRef(id))

    async def list(self, *, limit: int = 20, before: str = "", state: str = "") -> jobs.JobPage:
        """The newest jobs first."""
        return await self._call(JOB_LIST, jobs.JobListRequest(limit, before, state))

    async def cancel(self, id: str) -> jobs.JobView:
        """Stops the job, its model calls and its tools. A job that is over stays as it is."""
        return await self._call(JOB_CANCEL, jobs.JobRef(id))

    async def wait(self, id: str, *, timeout_s: float | None = None) -> jobs.JobView:
        """The job when it is over, however it ended. Raises DEADLINE after `timeout_s`, and the Failure of a job that
        was published and refused."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._over(id)
        except TimeoutError:
            raise Failure(Code.DEADLINE, f"the job {id} is not over after {timeout_s:g} s") from None

    async def run(self, job: jobs.Job, *, timeout_s: float | None = None) -> jobs.JobView:
        """`submit`, then `wait`."""
        return await self.wait((await self.submit(job)).id, timeout_s=timeout_s)

    # Following --------------------------------------------------------------------------------------------------

    async def follow(
        self, id: str, *, after: int = -1, tokens: bool = True, appears_within_s: float = PUBLISHED_APPEARS_S
    ) -> AsyncGenerator[jobs.JobEvent | jobs.TokenFrame, None]:
        """What happened in the job after event number `after` and what happens, with the model's output between.

        Events come in order of `n`, frames in order of `seq` within a step's try, each once, across reconnects and
        restarts of the plane. Ends after the job's last event. Close it (`aclosing`) when leaving early.
        """
        places = {"tenant": self.tenant, "job": _id(id)}
        feed = Feed(self._limits.held_max)
        subscriptions: list[Subscription] = []
        forget = self._bus.connection.on_reconnect(feed.disturb)
        subscribe = self._bus.connection.subscribe
        try:
            subscriptions.append(await subscribe(JOB_EVENT.subject.at(**places), feed.event))
            if tokens:
                subscriptions.append(await subscribe(JOB_TOKEN.subject.at(**places), feed.frame))
            follower = Follower(
                feed,
                lambda after, limit: self._events(id, after, limit),
                (lambda step, seq: self._frames(id, step, seq)) if tokens else None,
                self._limits,
                after=after,
                appears_within_s=appears_within_s,
            )
            async with aclosing(follower.items()) as items:
                async for item in items:
                    yield item
        finally:
            forget()
            for subscription in subscriptions:
                await subscription.close()

    async def events(
        self, id: str, *, after: int = -1, appears_within_s: float = PUBLISHED_APPEARS_S
    ) -> AsyncGenerator[jobs.JobEvent, None]:
        """`follow` without the model's output."""
        followed = self.follow(id, after=after, tokens=False, appears_within_s=appears_within_s)
        async with aclosing(followed) as items:
            async for item in items:
                if isinstance(item, jobs.JobEvent):
                    yield item

    async def tokens(
        self, id: str, *, appears_within_s: float = PUBLISHED_APPEARS_S
    ) -> AsyncGenerator[jobs.TokenFrame, None]:
        """The model's output as it comes, until the job is over. A frame with a higher `try_number` than the one
        before it, of the same step, begins that step's text anew."""
        async with aclosing(self.follow(id, appears_within_s=appears_within_s)) as items:
            async for item in items:
                if isinstance(item, jobs.TokenFrame):
                    yield item

    # Approvals --------------------------------------------------------------------------------------------------

    async def approvals(self, *, state: str = "", limit: int = 50, before: str = "") -> ApprovalPage:
        """What you asked for or may answer, the newest first."""
        return await self._call(APPROVAL_LIST, ApprovalListRequest(state, limit, before))

    async def approval(self, id: str) -> Approval:
        """One as it stands. Raises NOT_FOUND."""
        return await self._call(APPROVAL_GET, ApprovalRef(id))

    async def answer(self, id: str, answer: Literal["approve", "deny"], reason: str = "") -> Approval:
        """Raises DENIED for who may not answer it, CONFLICT when it is answered otherwise or over."""
        return await self._call(APPROVAL_ANSWER, ApprovalAnswer(id, answer, reason))

    async def answered(self, id: str) -> Approval:
        """The approval once it was answered or has expired. Raises NOT_FOUND."""
        await self.approval(id)
        async with self._approvals_bell(approval=id) as bell:
            return await until_over(lambda: self.approval(id), bell, self._limits)

    async def follow_approvals(self) -> AsyncGenerator[Approval, None]:
        """The newest, the oldest of them first, then each one whenever it changes. Close it (`aclosing`) when done."""
        async with self._approvals_bell() as bell, aclosing(follow_page(self.approvals, bell, self._limits)) as items:
            async for item in items:
                yield item

    @asynccontextmanager
    async def _approvals_bell(self, **places: str) -> AsyncIterator[Bell]:
        bell = Bell()
        forget = self._bus.connection.on_reconnect(bell.ring)
        subject = APPROVAL_EVENT.subject.within(tenant=self.tenant, **places)
        subscription = await self._bus.connection.subscribe(subject, bell.heard)
        try:
            yield bell
        finally:
            forget()
            await subscription.close()

    # Evidence ---------------------------------------------------------------------------------------------------

    async def trail(self, *, job: str = "", request: str = "", limit: int = 1000) -> audit.Trail:
        """Every decision and outcome recorded for one job or one request."""
        return await self._call(AUDIT_TRAIL, audit.TrailRequest(job, request, limit))

    async def verify(self) -> audit.Verified:
        """Has the audit service check its log from the first record to the last."""
        return await self._call(AUDIT_VERIFY, audit.VerifyRequest())

    # Delegation -------------------------------------------------------------------------------------------------

    async def chain(self, id: str, *, limit: int = 100, after: int = 0) -> Chain:
        """Who acted for whom: from the origin to this run or this job's, or a page of a transaction. Raises
        NOT_FOUND."""
        return await self._call(CHAIN, ChainRequest(id, limit, after))

    async def revoke_run(self, run: str, reason: str = "") -> RunRevoked:
        """The run, by its id or its job's, and every run below it may do nothing more, within a second everywhere."""
        return await self._call(RUN_REVOKE, RunRevoke(run, reason))

    # Money ------------------------------------------------------------------------------------------------------

    async def accounts(self, account: str = "") -> money.Accounts:
        """Balances: of the accounts that pay for the caller's actions, or of one account of the tenant."""
        return await self._call(ACCOUNTS, money.AccountsRequest(account))

    async def statement(self, request: money.StatementRequest) -> money.Statement:
        """One page of what an account was used for; its `next` is the `after` of the page after it."""
        return await self._call(ACCOUNT_STATEMENT, request)

    # The rest ---------------------------------------------------------------------------------------------------

    async def ask(self, endpoint: Call[Request, Reply], request: Request) -> Reply:
        """Any other call of the public contract (contracts/governance.py), with this tenant's token."""
        return await self._call(endpoint, request)

    # Inside -----------------------------------------------------------------------------------------------------

    async def _over(self, id: str) -> jobs.JobView:
        async with aclosing(self.events(id)) as events:
            async for event in events:
                if event.type == "refused" and event.error is not None:
                    raise Failure.of(event.error)
                if event.type in FINAL_EVENTS:
                    break
        return await patiently(lambda: self.get(id), self._limits)

    async def _events(self, id: str, after: int, limit: int) -> Sequence[jobs.JobEvent]:
        return (await self._call(JOB_EVENTS, jobs.JobEventsRequest(id, after, limit))).events

    async def _frames(self, id: str, step: str, after_seq: int) -> Sequence[jobs.TokenFrame]:
        return (await self._call(JOB_TOKENS, jobs.JobTokensRequest(id, step, after_seq, FRAMES_MAX))).frames

    async def _call(self, endpoint: Call[Request, Reply], request: Request) -> Reply:
        try:
            return await self._call_once(endpoint, request)
        except Failure as failure:
            if failure.code is not Code.UNAUTHENTICATED or not self._access.renewable:
                raise
        self._access.forget()
        return await self._call_once(endpoint, request)

    async def _call_once(self, endpoint: Call[Request, Reply], request: Request) -> Reply:
        meta = Meta(request=new_id("req"), token=await self._access.token())
        return await self._bus.call(endpoint, request, meta, tenant=self.tenant)


async def connect(profile: Profile | None = None, *, connect_timeout_s: float = 5.0) -> Penstock:
    """Connects with `profile`, or with the one that the environment or a running `penstock up` gives.

    Raises ProfileError, and Failure UNAVAILABLE when no broker is there. Use it as
    `async with await penstock.connect() as plane: ...`.
    """
    chosen = profile or find_profile(os.environ, Path.cwd(), Path.home())
    return await Penstock.connect(
        chosen.url,
        tenant=chosen.tenant,
        seed_file=chosen.seed_file,
        api_key=chosen.key(),
        ca_file=chosen.ca_file,
        connect_timeout_s=connect_timeout_s,
    )


def _id(id: str) -> str:
    if not is_token(id):
        raise Failure(Code.INVALID, "a job id is 1 to 64 of A-Z a-z 0-9 _ and -", param="id")
    return id
