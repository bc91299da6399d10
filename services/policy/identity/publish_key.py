"""The public half of the key that signs tokens, put where every service looks for it."""

from penstock.bus import Bus
from penstock.contracts.governance import KEYS
from penstock.contracts.policy import Key
from penstock.kit.identity import Identities


async def publish(bus: Bus, identities: Identities, public: Key) -> None:
    """Returns when the bucket has it and this process believes it; repeated, since a record may come in its place."""
    bucket = bus.bucket(KEYS)
    found = await bucket.get(public.kid, fresh=True)
    if found is None or found.value != public:
        await bucket.put(public.kid, public)
    await identities.refresh()
