"""The guest's network: namespaces made ahead, what they may reach, DNS."""

from sandlot.network.addresses import NetworkSlot
from sandlot.network.policy import NetworkPolicy
from sandlot.network.slots import NetworkPool

__all__ = ["NetworkPolicy", "NetworkPool", "NetworkSlot"]
