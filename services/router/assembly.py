"""The router's parts, made of its settings and put together."""

import time
from collections.abc import Mapping

from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import POLICY_BALANCES
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import AccountQuery, Balances
from penstock.kit.parts import Parts
from penstock.kit.service import Background
from penstock.kit.store import Store
from services.router.attempts.board import Board
from services.router.attempts.chain import Chain, ChainRules
from services.router.attempts.sharing import Sharing
from services.router.cache.shelf import Shelf
from services.router.cached import Cached
from services.router.choosing.health import BreakerRules
from services.router.completion import Completions
from services.router.config import Config
from services.router.counting import Counting
from services.router.handlers import Handlers
from services.router.minted import Minted
from services.router.models.current import Models
from services.router.models.file import BadModelsFile
from services.router.models.made_up import LocalModels
from services.router.probes.probe import Probes
from services.router.probes.prober import Payer, Prober
from services.router.probes.turn import ProbeTurns
from services.router.protocols.table import PROTOCOLS
from services.router.providers.http import Http
from services.router.providers.table import providers
from services.router.responses.desk import ResponsesDesk
from services.router.responses.keeper import Keeper
from services.router.responses.state import ResponsesState, StateLimits
from services.router.streams.departures import Departures
from services.router.streams.kept_stream import Keep, KeptLimits
from services.router.streams.resumption import Resumption
from services.router.vectors import Vectors


class Assembly:
    """Everything that the endpoints need. `background`: what runs beside them."""

    def __init__(self, config: Config, parts: Parts, env: Mapping[str, str]) -> None:
        """`env` holds the provider keys that the models file names. Raises Failure(INVALID) for a bad models file."""
        rules = BreakerRules(
            config.breaker_failures_max, config.breaker_rest_s, config.breaker_rest_max_s, config.key_rest_s
        )
        board = Board(rules, time.monotonic, parts.metrics)
        models = _models(config, parts, board, env)
        self._http = Http(connect_timeout_s=config.connect_timeout_s, keep_alive_s=config.keep_alive_s)
        self._chain = _chain(config, board, parts)
        self._sharing = _sharing(config, board, parts)
        self._kept = Store(config.store_url.reveal(), timeout_s=config.cache_timeout_s) if config.store_url else None
        self._keep = _keep(config, parts)
        self.departures = Departures(parts.metrics, parts.log)
        self.handlers = _handlers(
            config, parts, models, self._chain, self._http, self._kept, self.departures, self._keep
        )
        self.background: list[Background] = [lambda: models.watch(config.models_check_every_s), self._keep.run]
        if self._sharing is not None:
            self.background.append(self._sharing.run)
        if config.probe_key:
            self.background.append(_prober(config, parts, models, board, self._http, self._kept).run)

    async def close(self) -> None:
        """After the last answer."""
        await self._chain.close()
        await self._keep.close()
        if self._sharing is not None:
            await self._sharing.close()
        if self._kept is not None:
            await self._kept.close()
        await self._http.close()


def _models(config: Config, parts: Parts, board: Board, env: Mapping[str, str]) -> Models:
    local = LocalModels(
        config.local_chat_url, config.local_chat_model, config.local_embed_url, config.local_embed_model
    )
    path = parts.config_dir / config.models_file if config.models_file else None
    try:
        return Models(path, parts.config_dir / "prompts", local, env, parts.clock, board, parts.log)
    except BadModelsFile as error:
        raise Failure(Code.INVALID, str(error)) from None


def _handlers(
    config: Config,
    parts: Parts,
    models: Models,
    chain: Chain,
    http: Http,
    kept: Store | None,
    departures: Departures,
    keep: Keep,
) -> Handlers:
    table = providers(http, response_max_bytes=config.response_max_bytes)
    state = None if kept is None else ResponsesState(kept, parts.clock, _limits(config))
    minted = Minted(kept, timeout_s=config.cache_timeout_s)
    completions = Completions(
        config, models, chain, table, PROTOCOLS, minted, Keeper(state, parts.log), parts.identities, parts.clock
    )
    counting = Counting(config, models, chain, table, PROTOCOLS, parts.boundary, parts.clock)
    vectors = Vectors(config, models, chain, table, parts.clock)
    shelf = None
    if kept is not None:
        shelf = Shelf(
            kept, parts.clock, timeout_s=config.cache_timeout_s, tenant_max_bytes=config.cache_tenant_max_bytes
        )
    cached = Cached(completions, vectors, shelf, parts)
    desk = ResponsesDesk(state, parts.boundary, parts.identities)
    resumption = Resumption(
        parts.bus,
        parts.boundary,
        parts.identities,
        silence_s=config.kept_silence_s,
        timeout_s=config.request_timeout_s,
    )
    return Handlers(
        models,
        completions,
        cached,
        counting,
        vectors,
        desk,
        parts.boundary,
        parts.identities,
        departures,
        keep,
        resumption,
    )


def _keep(config: Config, parts: Parts) -> Keep:
    limits = KeptLimits(
        config.kept_streams_max, config.kept_stream_max_bytes, config.kept_sign_s, config.kept_tenant_max_bytes
    )
    return Keep(parts.bus, limits, parts.log)


def _limits(config: Config) -> StateLimits:
    return StateLimits(
        config.responses_keep_s,
        config.responses_tenant_max_bytes,
        config.responses_history_max_bytes,
        config.responses_turns_max,
    )


def _chain(config: Config, board: Board, parts: Parts) -> Chain:
    rules = ChainRules(config.attempts_max, config.rounds_max, config.backoff_s, config.backoff_max_s, config.hops_max)

    async def ask(meta: Meta) -> Balances:
        return await parts.bus.call(POLICY_BALANCES, AccountQuery(), meta)

    return Chain(
        parts.boundary, board, rules, parts.metrics, parts.log, ask, shadows_max=config.shadows_max, tracer=parts.tracer
    )


def _prober(config: Config, parts: Parts, models: Models, board: Board, http: Http, kept: Store | None) -> Prober:
    table = providers(http, response_max_bytes=config.response_max_bytes)
    probes = Probes(parts.boundary, board, table, parts.clock, parts.metrics, parts.log, parts.tracer)
    payer = Payer(parts.bus, config.probe_key, parts.clock)
    turns = ProbeTurns(kept, parts.instance)
    return Prober(models, probes, payer, turns, board, parts.clock, parts.log)


def _sharing(config: Config, board: Board, parts: Parts) -> Sharing | None:
    """None where routers keep what they know to themselves."""
    if not config.store_url:
        return None
    store = Store(config.store_url.reveal(), timeout_s=config.store_timeout_s)
    return Sharing(store, board, new_id("rtr"), config.share_every_s, parts.metrics, parts.log)
