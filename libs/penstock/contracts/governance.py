"""The map's part that policy and audit answer; subjects.py has the rest, and the table of all."""

from penstock.contracts import audit, jobs, keys, policy
from penstock.contracts.api import api
from penstock.contracts.endpoint import TENANT_CLIENT, Bucket, Call, Consumer, Event, Subject
from penstock.contracts.services import AUDIT, DATA_PLANE, GATEWAY, ORCHESTRATOR, POLICY, ROUTER, SERVICES
from penstock.contracts.stores import AUDIT_LOG, DAY_S

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
    (GATEWAY, ORCHESTRATOR),
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
