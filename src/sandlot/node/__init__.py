"""What one machine does: isolation tiers, root file systems, limits, and every trace removed afterwards."""

from sandlot.node.host import probe_host
from sandlot.node.making import PHASES
from sandlot.node.model import (
    Finding,
    HostReport,
    Leftover,
    NodeSettings,
    OomEvent,
    Presence,
    Remains,
    RootFs,
    SandboxSpec,
    SnapshotFacts,
    Stats,
    Tier,
    TierStatus,
    instance_of,
)
from sandlot.node.node import Node
from sandlot.node.sandbox import NodeSandbox
from sandlot.node.usage import Usage

__all__ = [
    "PHASES",
    "Finding",
    "HostReport",
    "Leftover",
    "Node",
    "NodeSandbox",
    "NodeSettings",
    "OomEvent",
    "Presence",
    "Remains",
    "RootFs",
    "SandboxSpec",
    "SnapshotFacts",
    "Stats",
    "Tier",
    "TierStatus",
    "Usage",
    "instance_of",
    "probe_host",
]
