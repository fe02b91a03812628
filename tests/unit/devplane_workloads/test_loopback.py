"""Blocks of loopback addresses: each running server on a machine has its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devplane.kubelet.network.addresses import Addresses
from devplane.kubelet.network.loopback import PODS, SERVICES, Block


def test_data_directory_has_the_same_block_at_each_start(tmp_path: Path) -> None:
    first = Block(tmp_path)
    first.release()
    second = Block(tmp_path)
    assert (first.pods, first.services) == (second.pods, second.services)
    assert second.pods.subnet_of(PODS)
    assert second.services.subnet_of(SERVICES)
    second.release()


@pytest.mark.skipif(sys.platform != "linux", reason="names that the kernel takes back are Linux's own")
def test_block_that_a_running_server_holds_is_left_to_it(tmp_path: Path) -> None:
    held = [Block(tmp_path) for _ in range(3)]
    assert len({block.pods for block in held}) == len({block.services for block in held}) == 3
    held[1].release()
    assert Block(tmp_path).pods == held[1].pods


def test_addresses_are_handed_out_in_turn_and_none_twice(tmp_path: Path) -> None:
    network = Block(tmp_path).pods
    addresses = Addresses(network, {str(network[2])})
    first, second = addresses.take(), addresses.take()
    assert (first, second) == (str(network[3]), str(network[4]))
    addresses.release(first)
    assert addresses.take() == str(network[5])
