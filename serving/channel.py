"""One gRPC channel per process, opened at first use: channels do not survive a fork (grpc, doc/fork_support.md)."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable

import grpc

from serving.stubs import Stubs

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

    def __init__(self, address: str, connect: Callable[[str], grpc.Channel] | None = None) -> None:
        """Nothing is opened here.

        Args:
            address: host:port, unix:path, or dns:///host:port for all replicas behind a name.
            connect: makes the channel; None means an insecure one with CHANNEL_OPTIONS. TLS comes in here.
        """
        self.address = address
        self._connect = connect or open_insecure_channel
        self._lock = threading.Lock()
        self._pid = 0
        self._channel: grpc.Channel | None = None
        self._stubs: Stubs | None = None
        self._inherited: list[grpc.Channel | None] = []

    def stubs(self) -> Stubs:
        """The stubs on this process's channel."""
        if self._pid != os.getpid():
            self._forget_inherited()
        with self._lock:
            if self._stubs is None:
                self._channel = self._connect(self.address)
                self._stubs = Stubs(self._channel)
            return self._stubs

    def close(self) -> None:
        """Close the channel, cancelling what is in flight. A later call opens a new one."""
        if self._pid != os.getpid():
            self._forget_inherited()
        with self._lock:
            if self._channel is not None:
                self._channel.close()
            self._channel = self._stubs = None

    def _forget_inherited(self) -> None:
        # The lock may have been held by a thread that does not exist here. The channel is kept alive unused: closing it would
        # wait for threads that stayed in the parent.
        self._lock = threading.Lock()
        self._inherited.append(self._channel)
        self._channel = self._stubs = None
        self._pid = os.getpid()


def open_insecure_channel(address: str) -> grpc.Channel:
    """A plaintext channel with DermQ's options."""
    return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
