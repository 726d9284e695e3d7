"""Replicas that are added behind a name are found, while the connections to the others are well."""

from __future__ import annotations

import os
from collections.abc import Iterator

import grpc
import pytest

from serving.channel import ProcessChannel, open_insecure_channel
from serving.replicas import EVERY_S, ReplicaWatch, split_name
from tests.support.servers import wait_until


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("dns:///serving:8500", ("serving", 8500)),
        ("dns:serving.dermq.svc:8500", ("serving.dermq.svc", 8500)),
        ("dns:///[::1]:8500", ("::1", 8500)),
        ("dns://10.0.0.2/serving:8500", None),
        ("dns:///serving", None),
        ("serving:8500", None),
        ("unix:/run/serving", None),
    ],
)
def test_names_that_stand_for_several_replicas(address: str, name: tuple[str, int] | None) -> None:
    assert split_name(address) == name


class Names:
    """A name service: its answers in turn, None for none."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> frozenset[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise OSError("no answer")
        return frozenset(answer.split())


def test_only_more_addresses_are_news() -> None:
    news: list[int] = []
    names = Names("a b", "a b", "a", None, "a b c", "c b a")
    watch = ReplicaWatch(("serving", 8500), lambda: news.append(len(names.asked)), resolve=names, monotonic=lambda: 0.0)
    for _ in range(6):
        watch.look_now()
    assert news == [5]
    assert set(names.asked) == {("serving", 8500)}


def test_a_name_is_looked_up_no_more_often_than_gRPC_does() -> None:
    now, names = [0.0], Names("a")
    watch = ReplicaWatch(("serving", 8500), lambda: None, resolve=names, monotonic=lambda: now[0])
    for seconds, asked in ((0.0, 1), (EVERY_S - 1, 1), (EVERY_S, 2), (EVERY_S + 1, 2)):
        now[0] = seconds
        watch.look()
        wait_until(lambda wanted=asked: len(names.asked) == wanted, timeout_s=10, what=f"{asked} look-ups")


@pytest.fixture
def opened() -> Iterator[list[grpc.Channel]]:
    channels: list[grpc.Channel] = []
    yield channels
    for channel in channels:
        channel.close()


def test_a_channel_is_taken_anew_and_the_old_one_keeps_its_calls(opened: list[grpc.Channel]) -> None:
    def connect(address: str) -> grpc.Channel:
        opened.append(open_insecure_channel(address))
        return opened[-1]

    names = Names("127.0.0.1", "127.0.0.1 127.0.0.2")
    channel = ProcessChannel("dns:///serving.invalid:8500", connect, resolve=names)
    first = channel.stubs()
    wait_until(lambda: len(names.asked) == 1, timeout_s=10, what="the first look-up")
    assert channel.stubs() is first
    assert channel._replicas is not None
    channel._replicas.look_now()
    second = channel.stubs()
    assert second is not first
    assert len(opened) == 2
    pending = opened[0].unary_unary("/a/b").future(b"", timeout=5, wait_for_ready=True)
    assert not pending.done()  # the old channel is open
    channel.close()
    with pytest.raises(grpc.RpcError) as caught:
        pending.result(timeout=5)
    assert caught.value.code() is grpc.StatusCode.CANCELLED


def test_a_channel_to_one_host_looks_nothing_up() -> None:
    names = Names("a")
    channel = ProcessChannel("127.0.0.1:9", resolve=names)
    channel.stubs()
    channel.close()
    assert names.asked == []
    assert os.getpid() == channel._pid
