"""One gRPC channel per process, opened at first use: channels do not survive a fork (grpc, doc/fork_support.md)."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc

from serving.replicas import ReplicaWatch, Resolve, resolve_all, split_name
from serving.security import make_credentials
from serving.stubs import Stubs

if TYPE_CHECKING:
    from core.settings import ServingSettings

RETIRED_S = 600.0  # longer than any call
KEEPALIVE_MS = 300_000  # servers answer pings more often than every 5 minutes without data with GOAWAY (grpc, A8/keepalive.md)

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),  # the client's default is 4 MB (tensorflow/serving#1382)
    # With dns:///host:port one channel uses all replicas instead of the first (tensorflow/serving#662).
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 20_000),  # also TCP_USER_TIMEOUT: unacknowledged data breaks the connection
    # Reconnecting backs off up to 120 s by default; a job should go on seconds after Serving is back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # also the time one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 3_000),
    ("grpc.primary_user_agent", "dermq"),
    # Images go to Serving directly. A machine's http_proxy is for the web, and many refuse gRPC (grpc/grpc#29718).
    ("grpc.enable_http_proxy", 0),
)


class ProcessChannel:
    """Opens a channel in whichever process asks first, and a new one after a fork. Thread-safe."""

    def __init__(
        self, address: str, connect: Callable[[str], grpc.Channel] | None = None, *, resolve: Resolve = resolve_all
    ) -> None:
        """Nothing is opened here.

        Args:
            address: host:port, unix:path, or dns:///host:port for all replicas behind a name.
            connect: makes the channel; None means one in the clear with CHANNEL_OPTIONS. `open_channel` has TLS.
            resolve: looks a name up, to find replicas that were added.
        """
        self.address = address
        self._connect = connect or open_insecure_channel
        self._lock = threading.Lock()
        self._pid = 0
        self._channel: grpc.Channel | None = None
        self._stubs: Stubs | None = None
        self._inherited: list[grpc.Channel | None] = []
        self._retired: list[tuple[float, grpc.Channel]] = []  # since when, and what may still have calls
        self._resolve = resolve
        self._replicas = self._watch_replicas()

    def stubs(self) -> Stubs:
        """The stubs on this process's channel."""
        if self._pid != os.getpid():
            self._forget_inherited()
        with self._lock:
            if self._stubs is None:
                self._channel = self._connect(self.address)
                self._stubs = Stubs(self._channel)
            stubs = self._stubs
        if self._replicas is not None:
            self._replicas.look()
        return stubs

    def close(self) -> None:
        """Close the channel, cancelling what is in flight. A later call opens a new one."""
        if self._pid != os.getpid():
            self._forget_inherited()
        with self._lock:
            for channel in (self._channel, *(retired for _, retired in self._retired)):
                if channel is not None:
                    channel.close()
            self._retired.clear()
            self._channel = self._stubs = None

    def _watch_replicas(self) -> ReplicaWatch | None:
        name = split_name(self.address)
        return None if name is None else ReplicaWatch(name, self._renew, resolve=self._resolve)

    def _renew(self) -> None:
        """Take a new channel, which finds all replicas; it shares the connections that there are. Calls end on the old one."""
        with self._lock:
            if self._channel is None or self._pid != os.getpid():
                return
            now = time.monotonic()
            for _, channel in [each for each in self._retired if now - each[0] > RETIRED_S]:
                channel.close()
            self._retired = [each for each in self._retired if now - each[0] <= RETIRED_S]
            self._retired.append((now, self._channel))
            self._channel = self._connect(self.address)
            self._stubs = Stubs(self._channel)

    def _forget_inherited(self) -> None:
        # The lock may have been held by a thread that does not exist here. The channel is kept alive unused: closing it would
        # wait for threads that stayed in the parent.
        self._lock = threading.Lock()
        self._inherited.append(self._channel)
        self._inherited += [channel for _, channel in self._retired]
        self._retired = []
        self._channel = self._stubs = None
        self._replicas = self._watch_replicas()
        self._pid = os.getpid()


def open_channel(address: str, settings: ServingSettings) -> grpc.Channel:
    """A channel with DermQ's options, with TLS where the settings say so.

    Raises:
        ServingUnavailableError: a file that the settings name cannot be read.
    """
    credentials = make_credentials(settings)
    if credentials is None:
        return open_insecure_channel(address)
    return grpc.secure_channel(address, credentials, options=CHANNEL_OPTIONS)


def open_insecure_channel(address: str) -> grpc.Channel:
    """A plaintext channel with DermQ's options."""
    return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
