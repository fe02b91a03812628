"""Routers by the name that a specification uses. A name that is not here is refused, never replaced."""

from __future__ import annotations

from collections.abc import Mapping

from tunebird.traffic.gateway_api import GatewayAPI
from tunebird.traffic.router import Router

ROUTERS: Mapping[str, Router] = {"GatewayAPI": GatewayAPI()}
