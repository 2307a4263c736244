"""What a sweep starts on one machine can be reached from that machine alone."""

from __future__ import annotations

import os
import sys

import pytest
from listeners import listening, with_children

from search.cluster.cluster import connected
from search.plan.spec import make_spec


@pytest.mark.skipif(sys.platform != "linux", reason="Ray keeps to the loopback address by itself there")
def test_ray_listens_on_the_loopback_address_alone() -> None:
    with connected(make_spec({})):
        mine = with_children(os.getpid())
        open_at = listening(mine)
    names = {address for addresses in open_at.values() for address in addresses}
    assert len(mine) > 3
    assert names == {"127.0.0.1"}, open_at
