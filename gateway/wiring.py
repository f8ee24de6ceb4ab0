"""Builds the gateway once per process: settings and gateway.yaml come in, the wired parts go out.

The only place that knows all parts; everything heavy is imported here, inside functions, when it is first needed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import configfile, guard, sources, telemetry
from gateway.budget import Budget
from gateway.capacity import Capacity
from gateway.config import UNCHECKED, Config, Sender
from gateway.errors import ConfigurationError, Problem
from gateway.guard import KEYED, Access
from gateway.ledger import Store
from gateway.message import Transport
from gateway.settings import Settings
from gateway.suppressions import Suppressions
from gateway.telemetry import WARNING, log
from gateway.transports import TRANSPORTS
from gateway.upkeep import Upkeep

if TYPE_CHECKING:
    from gateway.delivery import Delivery
    from gateway.pipeline import Line
    from gateway.rendering import Renderer
    from gateway.security_events import SecurityEvents
    from gateway.stores.azure import AzureStore
    from gateway.transports.graph_client import Account
    from gateway.web import Front


@dataclass
class Gateway:
    """One process's parts, built when they are first wanted: a doorbell needs no `line`, a request no `delivery`."""

    settings: Settings
    config: Config
    store: Store
    suppressions: Suppressions
    transports: dict[tuple[str, str, str], Transport]
    make_line: Callable[[], Line]
    capacity: Capacity
    access: Access = KEYED

    @cached_property
    def budget(self) -> Budget:
        """What memory large bodies and mails may take together."""
        return Budget(self.settings.budget)

    @property
    def upkeep(self) -> Upkeep:
        """What has to be done now and then."""
        return Upkeep(self.store, self.config.retention, capacity=self.capacity)

    @cached_property
    def delivery(self) -> Delivery:
        """What answers doorbells."""
        return _delivery(self)

    @cached_property
    def line(self) -> Line:
        """What accepts; ConfigurationError when a template or a look cannot be used."""
        return self.make_line()

    @cached_property
    def app(self) -> Front:
        """The ASGI application."""
        from gateway import api

        return api.build(self.settings, self.config, self.store, self.line, self.suppressions, self.access, self.budget)

    @property
    def events(self) -> SecurityEvents:
        """What writes down who was kept out."""
        return self.app.events

    async def close(self) -> None:
        """Let go of everything, transports first."""
        if "app" in vars(self):
            self.events.close()
        for transport in self.transports.values():
            await transport.close()
        await self.capacity.close()
        await self.store.close()


def load(settings: Settings, environ: Mapping[str, str], access: Access | None = None) -> Config:
    """The configuration; ConfigurationError has every mistake but those of templates and looks."""
    config = _read(settings, environ, access, UNCHECKED)
    if problems := _unusable(settings, config):
        raise ConfigurationError(problems)
    return config


def check(settings: Settings, environ: Mapping[str, str], access: Access | None = None) -> Config:
    """The configuration and its looks; ConfigurationError has every mistake of both.

    Without `access`, as if it were used where its environment belongs.
    """
    return _checked(settings, environ, access)[0]


def _read(settings: Settings, environ: Mapping[str, str], access: Access | None, context: str = "") -> Config:
    samples = settings.environment in guard.DEVELOPING if access is None else access.samples
    return configfile.load(Path(settings.config), environ, sources.KINDS.keys(), context, samples=samples)


def _checked(settings: Settings, environ: Mapping[str, str], access: Access | None) -> tuple[Config, Renderer]:
    """With its templates compiled: doing that a second time would be felt at a cold start."""
    from gateway.rendering import Renderer

    config = _read(settings, environ, access)
    renderer = Renderer(config)
    if problems := [*renderer.problems(), *_unusable(settings, config)]:
        raise ConfigurationError(list(configfile.told(problems, Path(settings.config), environ)))
    return config, renderer


def _line(settings: Settings, config: Config, renderer: Renderer, store: Store, capacity: Capacity) -> Line:
    from gateway.pipeline import Line
    from gateway.routing import Router

    return Line(config, store, Router(config), renderer, production=settings.production, capacity=capacity)


def _delivery(gateway: Gateway) -> Delivery:
    from gateway.delivery import Delivery
    from gateway.pacing import Pacer
    from gateway.ways import ways

    settings, config, store = gateway.settings, gateway.config, gateway.store
    acs = settings.acs_connection_string or settings.acs_endpoint
    return Delivery(
        store,
        transports(settings, config, store, gateway.transports),
        ways=ways(config, production=settings.production, endpoint=acs),
        pacer=Pacer(store),
        suppressions=gateway.suppressions,
        budget=gateway.budget,
    )


def _unusable(settings: Settings, config: Config) -> list[Problem]:
    """Senders whose way out cannot work here."""
    found = []
    for name, sender in config.senders.items():
        way_out = sender.way_out(production=settings.production)
        where = f"senders.{name}"
        if way_out not in TRANSPORTS:
            message = f"{way_out} is not there yet; use one of {', '.join(TRANSPORTS)}"
            found.append(Problem(settings.config, 0, f"{where}.transport", message))
        named = sender.connection_string or sender.endpoint or settings.acs_connection_string or settings.acs_endpoint
        if way_out == "graph" and (message := _no_root(settings.graph_endpoint)):
            found.append(Problem("environment", 0, "GRAPH_ENDPOINT", message))
        if way_out == "acs" and not named:
            message = "needs ACS_CONNECTION_STRING or ACS_ENDPOINT in the environment"
            found.append(Problem(settings.config, 0, where, message))
    return found


def _no_root(endpoint: str) -> str:
    """Why this cannot be Graph's address, "" when it can."""
    from gateway.transports.graph_client import root

    try:
        root(endpoint)
    except ValueError as error:
        return str(error)
    return ""


async def build(
    settings: Settings, environ: Mapping[str, str], access: Access | None = None, *, checked: bool = True
) -> Gateway:
    """Wire one gateway; unless `checked`, mistakes in templates and looks show when something is accepted.

    `access` is what its host knows of who can reach it; the Functions host knows nothing.
    """
    access = access or guard.behind_functions(settings.environment, environ)
    whole = _checked(settings, environ, access) if checked else None
    config = whole[0] if whole else load(settings, environ, access)
    for warning in configfile.warnings(config):
        log("configuration_warning", WARNING, problem=warning)
    store = await open_store(settings)
    capacity = Capacity(store, config.bounds)

    def make_line() -> Line:
        return _line(settings, *(whole or _checked(settings, environ, access)), store, capacity)

    return Gateway(settings, config, store, Suppressions(store), {}, make_line, capacity, access)


async def open_store(settings: Settings) -> Store:
    """The store GATEWAY_STORE names."""
    if settings.store.startswith("sqlite:"):
        from gateway.stores.sqlite import SqliteStore

        return await SqliteStore.open(settings.store.removeprefix("sqlite:"))
    from gateway.stores.azure import AzureStore

    return await AzureStore.open(settings)


def transports(
    settings: Settings, config: Config, store: Store, built: dict[tuple[str, str, str], Transport]
) -> Callable[[str, str], Transport]:
    """A function from transport and sender to the transport, each built at its first use and then kept.

    Senders of one account share a client; a sender with a connection string or endpoint of its own has its own. Each
    Graph sender has its own mailbox and mode, on one connection.
    """
    graph: list[Account] = []

    def make(sender: Sender | None, transport: str, connection_string: str, endpoint: str) -> Transport:
        if transport != "graph":
            return _transport(settings, store, transport, connection_string, endpoint)
        if not graph:
            graph.append(_account(settings))
        return _graph(graph[0], sender)

    def find(transport: str, sender: str) -> Transport:
        chosen = config.senders.get(sender)
        own = (chosen.connection_string, chosen.endpoint) if chosen and transport == "acs" else ("", "")
        key = (transport, sender, "") if transport == "graph" else (transport, *own)
        if key not in built:
            built[key] = make(chosen, *key)
        return built[key]

    return find


def _account(settings: Settings) -> Account:
    """The application at Graph, with the identity of azure-identity's own variables."""
    from gateway.transports.graph_client import Account
    from gateway.transports.identity import Identity

    return Account(settings.graph_endpoint, lambda: Identity.default(settings.client_id))


def _graph(account: Account, sender: Sender | None) -> Transport:
    """One sender's way; one that is not in gateway.yaml any more goes on by the defaults."""
    from gateway.transports.graph import Graph
    from gateway.transports.graph_payload import Options

    if sender is None:
        return Graph(account)
    mailbox = sender.mailbox.email if sender.mailbox else ""
    return Graph(account, Options(mailbox, sender.mode, sender.save_to_sent, sender.on_unknown))


def _transport(settings: Settings, store: Store, name: str, connection_string: str, endpoint: str) -> Transport:
    if name == "capture":
        from gateway.transports.capture import Capture

        return Capture(store)
    from gateway.transports.acs import Acs

    if not connection_string and not endpoint:
        connection_string, endpoint = settings.acs_connection_string, settings.acs_endpoint
    if connection_string:
        return Acs.from_connection_string(connection_string)
    from gateway.transports.identity import Identity

    return Acs(endpoint, identity=lambda: Identity.default(settings.client_id))


ROOT = Path(__file__).parent.parent
"""Where function_app.py lies; relative paths start there under Functions."""


def _deployed() -> Settings:
    """The environment of a Functions app, whose home is a storage account."""
    settings = Settings.read({"GATEWAY_STORE": "azure", **os.environ})
    return replace(settings, config=str(ROOT / settings.config))


_current: dict[asyncio.AbstractEventLoop, asyncio.Task[Gateway]] = {}


async def storage() -> AzureStore:
    """The storage account, whatever else of the environment or the configuration cannot be used; close it."""
    from gateway.stores.azure import AzureStore

    return await AzureStore.open(Settings.read(os.environ, checked=False))


async def gateway() -> Gateway:
    """This process's gateway, built once per event loop from the environment; a failed build is tried again."""
    telemetry.join()
    loop = asyncio.get_running_loop()
    task = _current.get(loop)
    if task is None or (task.done() and task.exception() is not None):
        task = loop.create_task(build(_deployed(), os.environ, checked=False))
        _current[loop] = task
    return await asyncio.shield(task)
