"""The public half of the key that signs tokens, put where every service looks for it.

Several are believed at once: one of each policy process, and that of a process before, for as long as a token may
live that it signed. So a signing key is turned by moving its file away and starting the process again.
"""

from msgspec.structs import replace

from penstock.bus import Bus
from penstock.contracts.governance import KEYS
from penstock.contracts.policy import Key
from penstock.kit.clock import Clock
from penstock.kit.identity import Identities


async def publish(bus: Bus, identities: Identities, public: Key, clock: Clock, token_life_max_s: float) -> None:
    """Returns when the bucket has it for longer than a token that is signed now may live, and this process believes it;
    repeated, since a record may come in its place."""
    bucket = bus.bucket(KEYS)
    found = await bucket.get(public.kid, fresh=True)
    now = clock.now()
    known = found is not None and replace(found.value, until=0.0) == public
    if found is None or not known or found.value.until < now + token_life_max_s:
        await bucket.put(public.kid, replace(public, until=now + 2 * token_life_max_s))
    await identities.refresh()
