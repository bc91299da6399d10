"""An identity provider with real keys behind real HTTP: it turns its keys, lies, is slow, and goes away."""

import asyncio
import json
import time
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from joserfc import jwk, jws

Json = dict[str, object]
HOST = "127.0.0.1"


class Issuer:
    """`answers` stands in for what a path would say: bytes, a status, or None for silence. `asked` counts."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, jwk.RSAKey | jwk.ECKey] = {}
        self.answers: dict[str, bytes | int | None] = {}
        self.more_keys: list[Json] = []
        self.asked: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self._port = 0

    def turn(self, kid: str, *, keep: bool = False, curve: bool = False) -> None:
        """From now on it signs with a key of this name; those before are gone unless kept."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = jwk.ECKey.generate_key("P-256") if curve else jwk.RSAKey.generate_key(2048)
        self.keys = ({**self.keys} if keep else {}) | {kid: made}

    def claims(self, **claims: object) -> Json:
        """Good for an hour, for alice of acme; None leaves a claim out."""
        now = time.time()
        payload: Json = {"iss": self.url, "aud": "plane", "sub": "alice", "org": "acme", "iat": now, "exp": now + 3600}
        return {name: value for name, value in (payload | claims).items() if value is not None}

    def token(self, header: Mapping[str, object] | None = None, /, **claims: object) -> str:
        kid = next(reversed(self.keys))
        key = self.keys[kid]
        alg = "ES256" if isinstance(key, jwk.ECKey) else "RS256"
        head = {"alg": alg, "kid": kid, "typ": "JWT"} | dict(header or {})
        registry = jws.JWSRegistry(algorithms=[str(head["alg"])], strict_check_header=False)
        body = json.dumps(self.claims(**claims)).encode()
        return jws.serialize_compact(head, body, key, registry=registry)

    def jwks(self) -> Json:
        own = [{**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in self.keys.items()]
        return {"keys": own + self.more_keys}

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port, reuse_address=True)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self._port = server.sockets[0].getsockname()[1]
        self.url = f"http://{HOST}:{self._port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked[path] = self.asked.get(path, 0) + 1
        if path in self.answers:
            return await self._lie(self.answers[path])
        if path == "/.well-known/openid-configuration":
            return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
        if path == "/keys":
            return web.json_response(self.jwks())
        return web.Response(status=404)

    async def _lie(self, answer: bytes | int | None) -> web.StreamResponse:
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, int):
            return web.Response(status=answer, headers={"location": f"{self.url}/keys"})
        return web.Response(body=answer, content_type="application/json")


@asynccontextmanager
async def issuer() -> AsyncIterator[Issuer]:
    one = Issuer()
    one.turn("first")
    await one.start()
    try:
        yield one
    finally:
        await one.stop()
