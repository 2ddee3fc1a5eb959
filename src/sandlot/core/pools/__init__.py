"""Hot pools: sandboxes that run already and are nobody's yet. docs/pools.md is their page."""

from sandlot.core.pools.hot import Hot
from sandlot.core.pools.memory import HotMemory
from sandlot.core.pools.model import OFF, Bounds, PoolSettings, PoolStatus
from sandlot.core.pools.pools import Pools

__all__ = ["OFF", "Bounds", "Hot", "HotMemory", "PoolSettings", "PoolStatus", "Pools"]
