"""The calls that policy answers. Keys and tokens that come in go no further."""

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.jobs import TokenReply, TokenRequest
from penstock.contracts.keys import API_KEY, OIDC, scheme_of
from penstock.contracts.meta import Meta
from penstock.contracts.policy import (
    Authenticate,
    Decision,
    Decisions,
    Identity,
    Question,
    Questions,
)
from penstock.kit.clock import Clock
from penstock.kit.identity import Identities
from penstock.kit.revocations import KEY
from services.policy.config import Config
from services.policy.delegation.grants import of_key, of_person
from services.policy.evaluate import Evaluator
from services.policy.identity.keys import ApiKey
from services.policy.identity.tokens import Signer
from services.policy.oidc.sign_in import SignIn
from services.policy.rulebook import Rulebook


class Handlers:
    """Each is what an endpoint of main.py calls."""

    def __init__(
        self,
        rules: Rulebook,
        evaluator: Evaluator,
        signer: Signer,
        sign_in: SignIn,
        identities: Identities,
        clock: Clock,
        config: Config,
    ) -> None:
        self._rules = rules
        self._evaluator = evaluator
        self._signer = signer
        self._sign_in = sign_in
        self._identities = identities
        self._clock = clock
        self._config = config

    async def authenticate(self, request: Authenticate, meta: Meta) -> Identity:
        """An API key, or a token of an identity provider, for a token of ours. UNAUTHENTICATED is the same for a key
        that is unknown, wrong, expired or revoked."""
        if request.scheme not in (API_KEY, OIDC):
            raise Failure(Code.INVALID, "this kind of credential is not known", param="scheme")
        return await self._exchanged(request.credential, request.scheme)

    async def token(self, request: TokenRequest, meta: Meta) -> TokenReply:
        """The same for a tenant's own client; another tenant's key is as good as none."""
        identity = await self._exchanged(request.api_key, scheme_of(request.api_key))
        if identity.tenant != meta.tenant:
            raise Failure(Code.UNAUTHENTICATED, "the API key is not valid")
        return TokenReply(identity.token, identity.tenant, identity.expires)

    async def evaluate(self, request: Question, meta: Meta) -> Decision:
        return await self._evaluator.evaluate(request, self._identities.claims(meta), meta)

    async def evaluations(self, request: Questions, meta: Meta) -> Decisions:
        claims = self._identities.claims(meta)
        return Decisions(
            await self._evaluator.evaluate_many(request.evaluations, claims, meta, listing=not request.strict)
        )

    def _key(self, credential: str) -> ApiKey:
        """Whose key it is. Raises Failure(UNAUTHENTICATED), and UNAVAILABLE when nobody can say what was revoked."""
        key = self._rules.keys.authenticate(credential, self._clock.now())
        if self._identities.revocations.refused((KEY + key.id,), key.tenant):
            raise Failure(Code.UNAUTHENTICATED, "the API key is not valid")
        return key

    async def _exchanged(self, credential: str, scheme: str) -> Identity:
        now, lifetime_s, txn = self._clock.now(), self._config.token_lifetime_s, new_id("txn")
        if scheme == OIDC:
            return self._signer.sign(of_person(await self._sign_in.person(credential), now, lifetime_s, txn))
        return self._signer.sign(of_key(self._key(credential), now, lifetime_s, txn))
