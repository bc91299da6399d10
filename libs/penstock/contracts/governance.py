"""The map's part that policy and audit answer; subjects.py has the rest, and the table of all."""

from penstock.contracts import approvals, audit, bundles, delegation, jobs, keys, money, policy
from penstock.contracts.api import api
from penstock.contracts.endpoint import TENANT_CLIENT, Bucket, Call, Consumer, Event, Subject
from penstock.contracts.services import AUDIT, DATA_PLANE, GATEWAY, ORCHESTRATOR, POLICY, ROUTER, SERVICES
from penstock.contracts.stores import AUDIT_LOG, DAY_S, EVENTS, MIB

# Policy ------------------------------------------------------------------------------------------------------------

POLICY_AUTHENTICATE = Call(
    Subject("penstock.policy.authenticate"),
    policy.Authenticate,
    policy.Identity,
    POLICY,
    # the router for its probes, with a key of its own
    (GATEWAY, ROUTER),
    timeout_s=10.0,
    repeatable=True,
)
POLICY_EVALUATE = Call(
    Subject("penstock.policy.evaluate"),
    policy.Question,
    policy.Decision,
    POLICY,
    DATA_PLANE,
    timeout_s=10.0,
    repeatable=True,
)
POLICY_EVALUATIONS = Call(
    Subject("penstock.policy.evaluations"),
    policy.Questions,
    policy.Decisions,
    POLICY,
    DATA_PLANE,
    timeout_s=10.0,
    repeatable=True,
)
POLICY_DELEGATE = Call(
    Subject("penstock.policy.delegate"),
    policy.Delegate,
    policy.Identity,
    POLICY,
    (ORCHESTRATOR,),
    timeout_s=10.0,
    repeatable=True,
)
POLICY_BALANCES = Call(
    Subject("penstock.policy.balances"),
    policy.AccountQuery,
    policy.Balances,
    POLICY,
    # the router for rules that look at what is left
    (GATEWAY, ORCHESTRATOR, ROUTER),
    repeatable=True,
)

TOKEN = Call(
    Subject("penstock.v1.{tenant}.api.token"),
    jobs.TokenRequest,
    jobs.TokenReply,
    POLICY,
    (TENANT_CLIENT,),
    repeatable=True,
)
KEYS = Bucket("keys", policy.Key, (POLICY, AUDIT), SERVICES, watched=True)
API_KEYS = Bucket("api_keys", keys.KeptKey, (POLICY,), (POLICY,), watched=True)
"""Keys made through the plane, by their ids; digests only."""
KEY_CREATE = api("key_create", keys.KeyCreate, keys.KeyView, POLICY)
KEY_LIST = api("key_list", keys.KeyListRequest, keys.KeyPage, POLICY)
KEY_SHOW = api("key_show", keys.KeyRef, keys.KeyView, POLICY)
KEY_ROTATE = api("key_rotate", keys.KeyRotate, keys.KeyView, POLICY)
KEY_EXPIRE = api("key_expire", keys.KeyExpire, keys.KeyView, POLICY)
KEY_REVOKE = api("key_revoke", keys.KeyRevoke, keys.KeyRevoked, POLICY)
REVOCATIONS = Bucket("revocations", keys.Revocation, (POLICY,), SERVICES, ttl_s=8 * DAY_S, watched=True)
"""Kept for longer than any token lives (policy's run_lifetime_max_s): by then there is nothing to refuse."""

CHAINS = Bucket("chains", delegation.Link, (POLICY,), (POLICY,), ttl_s=8 * DAY_S, max_bytes=512 * MIB)
"""Every delegation, for longer than any token lives; full, it drops the oldest (the audit log has them all)."""
CHAIN = api("chain", delegation.ChainRequest, delegation.Chain, POLICY)
RUN_REVOKE = api("run_revoke", delegation.RunRevoke, delegation.RunRevoked, POLICY)

BUNDLES = Bucket("bundles", bundles.Sources, (POLICY,), (POLICY,))
"""Every version that was in force, by its digest: what a decision of the past fell by can be looked up."""
BUNDLE_POINTER = Bucket("bundle_pointer", bundles.Standing, (POLICY,), (POLICY,))
"""Which version is in force: the one key `current`."""
BUNDLE_PUBLISH = api("bundle_publish", bundles.Publish, bundles.Published, POLICY)
BUNDLE_ROLLBACK = api("bundle_rollback", bundles.Rollback, bundles.Published, POLICY)
BUNDLE_LIST = api("bundle_list", bundles.BundlesRequest, bundles.BundleList, POLICY)
BUNDLE_SHOW = api("bundle_show", bundles.BundleRef, bundles.BundleView, POLICY)
DECISIONS = api("decisions", bundles.DecisionsRequest, bundles.DecisionPage, POLICY)
EXPLAIN = api("explain", bundles.ExplainRequest, bundles.Explanation, POLICY)

# Approvals ---------------------------------------------------------------------------------------------------------

APPROVALS = Bucket("approvals", approvals.KeptApproval, (POLICY,), (POLICY,), ttl_s=30 * DAY_S, watched=True)
"""The last approval of a thing by its digest, those before it by their ids, below the tenant."""
APPROVAL_EVENT = Event(
    Subject("penstock.v1.{tenant}.approvals.{approval}"),
    approvals.ApprovalEvent,
    EVENTS,
    emitted_by=(POLICY,),
    heard_by=(TENANT_CLIENT, GATEWAY, ORCHESTRATOR),
)
APPROVAL_SINK = Consumer("approvals", EVENTS, APPROVAL_EVENT.subject.wildcard, used_by=ORCHESTRATOR, held_max=256)
APPROVAL_LIST = api("approvals", approvals.ApprovalListRequest, approvals.ApprovalPage, POLICY)
APPROVAL_GET = api("approval", approvals.ApprovalRef, approvals.Approval, POLICY)
APPROVAL_ANSWER = api("answer", approvals.ApprovalAnswer, approvals.Approval, POLICY)

ACCOUNTS = api("accounts", money.AccountsRequest, money.Accounts, POLICY)
ACCOUNT_STATEMENT = api("statement", money.StatementRequest, money.Statement, POLICY, timeout_s=120.0)

# Audit -------------------------------------------------------------------------------------------------------------

AUDIT_BATCH = Event(
    Subject("penstock.audit.{tenant}.{service}"),
    audit.Batch,
    AUDIT_LOG,
    emitted_by=(*DATA_PLANE, POLICY),
    heard_by=(AUDIT, POLICY),
)
AUDIT_SINK = Consumer("notary", AUDIT_LOG, "penstock.audit.*.*", used_by=AUDIT, held_max=256, gather_s=0.05)
SETTLE_SINK = Consumer("settle", AUDIT_LOG, "penstock.audit.*.*", used_by=POLICY, held_max=256, gather_s=0.05)
AUDIT_TRAIL = api("trail", audit.TrailRequest, audit.Trail, AUDIT)
AUDIT_VERIFY = api("verify", audit.VerifyRequest, audit.Verified, AUDIT, timeout_s=300.0)
