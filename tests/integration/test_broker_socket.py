"""A broker behind a Unix socket, in a folder whose name has what URLs use as marks."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from celery import Celery
from pydantic import SecretStr
from redis import Redis

from core.broker import celery_config
from core.settings import BrokerSettings, Settings
from tests.support.servers import broker_binary, wait_until


@pytest.mark.parametrize("scheme", ["unix", "redis+socket"])
def test_both_clients_find_the_socket(tmp_path: Path, scheme: str) -> None:
    binary = broker_binary("valkey")
    assert binary is not None
    folder = tmp_path / "a b?%20#c"
    folder.mkdir()
    socket = folder / "s"
    settings = Settings(broker=BrokerSettings(url=SecretStr(f"{scheme}://{quote(str(socket))}")))
    command = [str(binary), "--port", "0", "--unixsocket", str(socket), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder) as server:
        try:
            wait_until(socket.exists, timeout_s=20, what="the socket")
            with Redis.from_url(settings.broker.full_url) as redis, Celery(set_as_current=False) as app:
                app.conf.update(celery_config(settings))
                app.send_task("nothing", queue="bulk")
                assert redis.llen("bulk") == 1
        finally:
            server.terminate()


def test_another_scheme_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="expected an address that begins with redis:// or rediss:// or unix:///"):
        BrokerSettings(url=SecretStr("amqp://host"))
