"""Writes first inputs of every target into the corpus, as protocols grow: ``python -m tests.fuzz.plant``."""

from __future__ import annotations

import hashlib

from tests.fuzz import seeds, seeds_host, targets

SEEDS = {
    "frames": seeds.frames,
    "ring": seeds.rings,
    "users": seeds.users,
    "sudo_socket": seeds.sudo_sockets,
    "connection": seeds.connections,
    "agent_link": seeds_host.links,
    "agent_payloads": seeds_host.payloads,
    "kernel_lines": seeds_host.kernel_lines,
    "tar_stream": seeds_host.archives,
    "dns_queries": seeds_host.queries,
}


def main() -> None:
    for target, inputs in SEEDS.items():
        folder = targets.CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for content in inputs():
            (folder / hashlib.sha1(content, usedforsecurity=False).hexdigest()[:16]).write_bytes(content)


if __name__ == "__main__":
    main()
