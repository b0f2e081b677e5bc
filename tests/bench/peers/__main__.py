"""Installs the peers; says which could not be."""

from __future__ import annotations

import argparse
import asyncio

from tests.bench.peers import PEERS, Unavailable, install


async def main() -> None:
    for peer in PEERS:
        try:
            await install(peer)
        except Unavailable as why:
            print(f"{peer.package} {peer.version}: {why}")


if __name__ == "__main__":
    argparse.ArgumentParser(
        "python -m tests.bench.peers",
        description="Installs the bots that the bench compares with; says which could not be.",
    ).parse_args()
    asyncio.run(main())
