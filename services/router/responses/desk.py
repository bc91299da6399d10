"""Stored responses as their owner asks for them by id: decided and recorded like sessions, which they are."""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.llm import ResponseDeleted, ResponseRef, StoredResponse
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Question
from penstock.kit.boundary import Boundary
from penstock.kit.identity import Identities
from penstock.kit.json_text import decoded, edited
from penstock.kit.screened import off_loop
from penstock.kit.transform import Transform
from services.router.responses.state import ResponsesState

READ = "context.session"
FORGET = "context.forget"
SHOWN = frozenset({"redact", "redact_input", "redact_output"})
"""What can be done to a response that is shown again."""
ID_MAX_CHARACTERS = 200
DEADLINE_S = 30.0
"""How late the outcome may be."""


class ResponsesDesk:
    """What is somebody else's is not there."""

    def __init__(self, state: ResponsesState | None, boundary: Boundary, identities: Identities) -> None:
        """Without a `state` nothing is stored."""
        self._state = state
        self._boundary = boundary
        self._identities = identities

    async def get(self, request: ResponseRef, meta: Meta) -> StoredResponse:
        """Raises Failure(NOT_FOUND)."""
        state = self._checked(request)
        claims = self._identities.claims(meta)
        async with self._boundary.action(_question(READ, request), meta, honours=SHOWN) as action:
            raw = bytes(await state.get(claims.tenant, claims.sub, request.id))
            if action.obligations:
                transform = Transform(action.obligations)
                raw = await off_loop(len(raw), _shown, raw, transform)
                action.applied(transform.counts)
            return StoredResponse(msgspec.Raw(raw))

    async def delete(self, request: ResponseRef, meta: Meta) -> ResponseDeleted:
        """Raises Failure(NOT_FOUND), also when it was deleted before."""
        state = self._checked(request)
        claims = self._identities.claims(meta)
        async with self._boundary.action(_question(FORGET, request), meta):
            await state.delete(claims.tenant, claims.sub, request.id)
            return ResponseDeleted(request.id)

    def _checked(self, request: ResponseRef) -> ResponsesState:
        if not 0 < len(request.id) <= ID_MAX_CHARACTERS:
            raise Failure(
                Code.INVALID, f"a response's id is 1 to {ID_MAX_CHARACTERS} characters long", param="response_id"
            )
        if self._state is None:
            raise Failure(Code.NOT_FOUND, "responses are not stored here", param="response_id")
        return self._state


def _shown(raw: bytes, transform: Transform) -> bytes:
    return msgspec.json.encode(edited(decoded(raw), transform.inward))


def _question(action: str, request: ResponseRef) -> Question:
    return Question(ActionName(action), Entity("Session", request.id), new_id("att"), outcome_due_s=DEADLINE_S)
